{{/* How each model server is started: arguments and variables as docs/engines.md explains them. */}}

{{- define "haechi.modelResources" -}}
{{- $config := .Values.modelServer -}}
{{- $resources := deepCopy $config.resources -}}
{{- if gt (int $config.gpu.count) 0 -}}
{{- $_ := set $resources.requests $config.gpu.resource (int $config.gpu.count) -}}
{{- $_ := set $resources.limits $config.gpu.resource (int $config.gpu.count) -}}
{{- end -}}
{{ toYaml $resources }}
{{- end -}}

{{- define "haechi.offlineEnvironment" -}}
- name: HF_HUB_OFFLINE
  value: "1"
- name: TRANSFORMERS_OFFLINE
  value: "1"
- name: HF_HOME
  value: /tmp/huggingface
- name: TRITON_CACHE_DIR
  value: /tmp/triton
- name: HOME
  value: /tmp
{{- end -}}

{{- define "haechi.vllmArguments" -}}
- serve
- {{ required "engine.tokenizer is empty: the directory of the base model, as the volume of models shows it" .Values.engine.tokenizer | quote }}
- --served-model-name={{ required "engine.model is empty: the name that answers are asked for" .Values.engine.model }}
- --port=8000
- --enable-lora
- --max-lora-rank=32
- --max-loras=3
- --max-cpu-loras=6
- --enable-prefix-caching
- --no-enable-log-requests
- --disable-uvicorn-access-log
{{- range .Values.modelServer.extraArguments }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "haechi.vllmEnvironment" -}}
{{ include "haechi.offlineEnvironment" . }}
- name: VLLM_ALLOW_RUNTIME_LORA_UPDATING
  value: "True"
- name: VLLM_NO_USAGE_STATS
  value: "1"
- name: DO_NOT_TRACK
  value: "1"
- name: VLLM_CACHE_ROOT
  value: /tmp/vllm
{{- end -}}

{{- define "haechi.tgiArguments" -}}
- --model-id={{ required "engine.tokenizer is empty: the directory of the base model, as the volume of models shows it" .Values.engine.tokenizer }}
- --port=8000
- --max-concurrent-requests=128
{{- range .Values.modelServer.extraArguments }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "haechi.tgiEnvironment" -}}
{{ include "haechi.offlineEnvironment" . }}
- name: USAGE_STATS
  value: "off"
- name: PREFIX_CACHING
  value: "1"
- name: LORA_ADAPTERS
  valueFrom:
    configMapKeyRef:
      name: {{ .Values.engine.adaptersConfigMap }}
      key: LORA_ADAPTERS
      optional: true
{{- end -}}

{{- define "haechi.devserverArguments" -}}
- python
- -m
- llm_service.engines.devserver
- --host=0.0.0.0
- --port=8000
- --base={{ required "engine.tokenizer is empty: the directory of the base model, as the volume of models shows it" .Values.engine.tokenizer }}
{{- range .Values.modelServer.extraArguments }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "haechi.devserverEnvironment" -}}
{{ include "haechi.offlineEnvironment" . }}
- name: OMP_NUM_THREADS
  value: "1"
{{- end -}}
