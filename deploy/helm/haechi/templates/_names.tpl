{{/* Names and labels. A release name may have 53 characters; with the longest component a name stays within 63. */}}

{{- define "haechi.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* dict root component: the name of what belongs to one component. */}}
{{- define "haechi.componentName" -}}
{{- printf "%s-%s" (include "haechi.fullname" .root) .component -}}
{{- end -}}

{{- define "haechi.selectorLabels" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "haechi.labels" -}}
{{ include "haechi.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: haechi
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- with .root.Values.global.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* dict root name: an image by its name in `images`; a digest wins over a tag, the global registry over its own. */}}
{{- define "haechi.image" -}}
{{- $image := index .root.Values.images .name -}}
{{- $registry := .root.Values.global.imageRegistry | default $image.registry -}}
{{- if and .root.Values.global.requireDigests (not $image.digest) -}}
{{- fail (printf "images.%s.digest is empty; global.requireDigests asks for a digest of every image" .name) -}}
{{- end -}}
{{- if $registry }}{{ $registry }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .root.Chart.AppVersion }}{{ end -}}
{{- end -}}
