{{/* What llm_service and the workers share: where records, vectors, models and the volumes are. */}}

{{- define "haechi.recordsEnvironment" -}}
HAECHI_QDRANT_URL: {{ include "haechi.qdrantUrl" . | quote }}
HAECHI_ENGINE: {{ .Values.engine.kind | quote }}
HAECHI_ENGINE_URLS: {{ include "haechi.engineUrls" . | quote }}
HAECHI_LEARNING_DIRECTORY: /srv/haechi/learning
HAECHI_ADAPTERS_DIRECTORY: /srv/haechi/adapters
HAECHI_ADAPTERS_DIRECTORY_ON_SERVERS: /srv/haechi/adapters/versions
{{- if .Values.engine.model }}
HAECHI_ENGINE_MODEL: {{ .Values.engine.model | quote }}
{{- end }}
{{- if .Values.engine.tokenizer }}
HAECHI_TOKENIZER: {{ .Values.engine.tokenizer | quote }}
{{- end }}
{{- end -}}

{{- define "haechi.sharedMounts" -}}
- name: adapters
  mountPath: /srv/haechi/adapters
- name: learning
  mountPath: /srv/haechi/learning
{{- if .Values.storage.models.existingClaim }}
- name: models
  mountPath: /models
  readOnly: true
{{- end }}
{{- end -}}

{{- define "haechi.sharedVolumes" -}}
- name: adapters
  persistentVolumeClaim:
    claimName: {{ .Values.storage.adapters.existingClaim | default (include "haechi.componentName" (dict "root" . "component" "adapters")) }}
- name: learning
  persistentVolumeClaim:
    claimName: {{ .Values.storage.learning.existingClaim | default (include "haechi.componentName" (dict "root" . "component" "learning")) }}
{{- with .Values.storage.models.existingClaim }}
- name: models
  persistentVolumeClaim:
    claimName: {{ . }}
    readOnly: true
{{- end }}
{{- end -}}
