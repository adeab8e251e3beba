{{/* What single values cannot say: combinations that cannot be meant, refused in a sentence. */}}
{{- define "haechi.checks" -}}
{{- if and (eq .Values.engine.kind "devserver") (eq .Values.environment "production") -}}
{{- fail "engine.kind devserver: the development server is for trials; set environment: embedded, or another engine" -}}
{{- end -}}
{{- if and .Values.modelServer.enabled (not (has .Values.engine.kind (list "vllm" "tgi" "devserver"))) -}}
{{- fail "modelServer.enabled needs engine.kind vllm, tgi or devserver; other servers are named in engine.urls" -}}
{{- end -}}
{{- range $queue, $config := .Values.workers -}}
{{- if and (dig "keda" "enabled" false $config) (ne $queue "train") -}}
{{- fail (printf "workers.%s.keda: only training is scaled by rows" $queue) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.secrets.csi.enabled .Values.secrets.external.enabled -}}
{{- fail "secrets.csi and secrets.external are both enabled: choose one" -}}
{{- end -}}
{{- end -}}
