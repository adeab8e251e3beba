{{/* Where each part finds the others. */}}

{{- define "haechi.address" -}}
{{- printf "http://%s:%v" (include "haechi.componentName" .) .port -}}
{{- end -}}

{{- define "haechi.llmServiceUrl" -}}
{{- include "haechi.address" (dict "root" . "component" "llm-service" "port" 8081) -}}
{{- end -}}

{{- define "haechi.rasaUrl" -}}
{{- include "haechi.address" (dict "root" . "component" "rasa" "port" 5005) -}}
{{- end -}}

{{- define "haechi.qdrantUrl" -}}
{{- if .Values.qdrant.bundled.enabled -}}
{{- include "haechi.address" (dict "root" . "component" "qdrant" "port" 6333) -}}
{{- else -}}
{{- required "qdrant.url is empty: name your Qdrant server, or enable qdrant.bundled for a trial" .Values.qdrant.url -}}
{{- end -}}
{{- end -}}

{{/* Each replica of the model server by its own address: breakers, balancing and adapters are per replica. */}}
{{- define "haechi.engineUrls" -}}
{{- if and (ne .Values.engine.kind "extractive") .Values.modelServer.enabled -}}
{{- $root := . -}}
{{- $urls := list -}}
{{- range $index := until (int .Values.modelServer.replicas) -}}
{{- $urls = append $urls (include "haechi.address" (dict "root" $root "component" (printf "model-%d" $index) "port" 8000)) -}}
{{- end -}}
{{- join "," $urls -}}
{{- else if ne .Values.engine.kind "extractive" -}}
{{- required "engine.urls is empty: name each replica of your model server, or enable modelServer" (join "," .Values.engine.urls) -}}
{{- end -}}
{{- end -}}
