{{/* What every pod of ours has in common: it fits PodSecurity "restricted", holds no Kubernetes token, and gets of the
     platform's secrets the files it needs and no others. */}}

{{- define "haechi.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ .user | default 10001 }}
runAsGroup: {{ .user | default 10001 }}
fsGroup: {{ .user | default 10001 }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "haechi.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: ["ALL"]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "haechi.imagePullSecrets" -}}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Name of the Secret that holds the platform's secrets, a key each. */}}
{{- define "haechi.secretName" -}}
{{- if .Values.secrets.external.enabled -}}
{{- include "haechi.componentName" (dict "root" . "component" "secrets") -}}
{{- else -}}
{{- required "secrets.existingSecret is empty: name a Secret with the keys that docs/cluster.md lists, or enable secrets.external or secrets.csi" .Values.secrets.existingSecret -}}
{{- end -}}
{{- end -}}

{{/* dict root keys: the volume of a component's secrets. */}}
{{- define "haechi.secretsVolume" -}}
- name: secrets
{{- if .root.Values.secrets.csi.enabled }}
  csi:
    driver: secrets-store.csi.k8s.io
    readOnly: true
    volumeAttributes:
      secretProviderClass: {{ required "secrets.csi.secretProviderClass is empty" .root.Values.secrets.csi.secretProviderClass }}
{{- else }}
  secret:
    secretName: {{ include "haechi.secretName" .root }}
    defaultMode: 0440
    items:
{{- range .keys }}
      - key: {{ . }}
        path: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* dict root name key: one secret as a variable, for images of others that read no files. */}}
{{- define "haechi.secretVariable" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ include "haechi.secretName" .root }}
      key: {{ .key }}
{{- end -}}

{{/* dict root config: where pods may stand, and how they are spread. */}}
{{- define "haechi.placement" -}}
{{- with .config.nodeSelector }}
nodeSelector:
{{- toYaml . | nindent 2 }}
{{- end }}
{{- with .config.tolerations }}
tolerations:
{{- toYaml . | nindent 2 }}
{{- end }}
{{- with .config.priorityClassName | default .root.Values.global.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
{{- include "haechi.selectorLabels" . | nindent 8 }}
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
{{- include "haechi.selectorLabels" . | nindent 8 }}
{{- end -}}

{{/* A health command of our images: an argument list, no shell. dict port path [period failures]. */}}
{{- define "haechi.httpProbe" -}}
httpGet:
  path: {{ .path }}
  port: {{ .port }}
periodSeconds: {{ .period | default 10 }}
timeoutSeconds: 5
failureThreshold: {{ .failures | default 3 }}
{{- end -}}
