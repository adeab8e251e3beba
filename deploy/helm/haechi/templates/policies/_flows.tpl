{{/* Who talks to whom: the one table from which every NetworkPolicy is made, and against which tests compute what pods
     can reach. `from`: components that may open connections to `port`; `people`: the ingress controller may, too;
     `to`: components this one opens connections to; `external`: addresses outside the namespace; `out`: may ask the DNS. */}}
{{- define "haechi.flows" -}}
{{- $root := . -}}
{{- $workers := list -}}
{{- range $queue, $config := .Values.workers }}{{- if $config.enabled }}{{- $workers = append $workers (printf "worker-%s" $queue) }}{{- end }}{{- end -}}
{{- $models := list -}}
{{- if .Values.modelServer.enabled }}{{- range $index := until (int .Values.modelServer.replicas) }}{{- $models = append $models (printf "model-%d" $index) }}{{- end }}{{- end -}}
{{- $tests := list "ask-test" -}}
{{- $channels := list -}}
{{- if .Values.slack.enabled }}{{- $channels = append $channels "slack" }}{{- end -}}
{{- if .Values.teams.enabled }}{{- $channels = append $channels "teams-worker" }}{{- end -}}
{{- $doors := ternary (list "teams-door") (list) .Values.teams.enabled -}}
gateway:
  port: 8080
  people: true
  from: {{ toJson $tests }}
  out: true
  to:
    - {component: llm-service, port: 8081}
    - {component: rasa, port: 5005}
{{- include "haechi.storeFlows" (dict "root" . "stores" (list "redis")) | nindent 2 }}
actions:
  port: 8082
  from: [rasa]
rasa:
  port: 5005
  from: {{ toJson (concat (list "gateway") $channels) }}
  out: true
  to:
    - {component: actions, port: 8082}
{{- include "haechi.storeFlows" (dict "root" . "stores" (list "redis")) | nindent 2 }}
llm-service:
  port: 8081
  from: {{ toJson (concat (list "gateway" "console") $channels $workers) }}
  out: true
  to:
{{- range $models }}
    - {component: {{ . }}, port: 8000}
{{- end }}
{{- include "haechi.storeFlows" (dict "root" . "stores" (list "postgresql" "redis" "qdrant" "engine")) | nindent 2 }}
console:
  port: 8083
  people: true
  from: []
  out: true
  to:
    - {component: llm-service, port: 8081}
{{- include "haechi.storeFlows" (dict "root" . "stores" (list "postgresql" "oidc")) | nindent 2 }}
{{- range $workers }}
{{ . }}:
  from: []
  out: true
  to:
    - {component: llm-service, port: 8081}
{{- range $models }}
    - {component: {{ . }}, port: 8000}
{{- end }}
{{- include "haechi.storeFlows" (dict "root" $root "stores" (list "postgresql" "redis" "qdrant" "engine")) | nindent 2 }}
{{- end }}
{{- range $channels }}
{{ . }}:
{{- if eq . "slack" }}
  port: 8084
  people: {{ eq $root.Values.slack.transport "http" }}
{{- end }}
  from: []
  out: true
  to:
    - {component: llm-service, port: 8081}
    - {component: rasa, port: 5005}
{{- include "haechi.storeFlows" (dict "root" $root "stores" (list "redis" "proxy")) | nindent 2 }}
{{- end }}
{{- range $doors }}
{{ . }}:
  port: 8084
  people: true
  from: []
  out: true
  to:
{{- include "haechi.storeFlows" (dict "root" $root "stores" (list "redis" "proxy")) | nindent 2 }}
{{- end }}
{{- range $models }}
{{ . }}:
  port: 8000
  from: {{ toJson (concat (list "llm-service") $workers) }}
{{- end }}
migrate:
  from: []
  out: true
  to:
{{- include "haechi.storeFlows" (dict "root" . "stores" (list "postgresql")) | nindent 2 }}
ask-test:
  from: []
  out: true
  to:
    - {component: gateway, port: 8080}
{{- if .Values.postgresql.bundled.enabled }}
postgresql:
  port: 5432
  from: {{ toJson (concat (list "llm-service" "console" "migrate") $workers) }}
{{- end }}
{{- if .Values.redis.bundled.enabled }}
redis:
  port: 6379
  from: {{ toJson (concat (list "gateway" "rasa" "llm-service") $channels $doors $workers) }}
{{- end }}
{{- if .Values.qdrant.bundled.enabled }}
qdrant:
  port: 6333
  from: {{ toJson (concat (list "llm-service") $workers) }}
{{- end }}
{{- end -}}

{{/* dict root stores: continues a `to` list with the bundled stores, then `external` with the addresses of the others. */}}
{{- define "haechi.storeFlows" -}}
{{- $ports := dict "postgresql" 5432 "redis" 6379 "qdrant" 6333 -}}
{{- $values := .root.Values -}}
{{- $external := list -}}
{{- range $store := .stores }}
{{- if and (hasKey $ports $store) (dig "bundled" "enabled" false (index $values $store)) }}
  - {component: {{ $store }}, port: {{ index $ports $store }}}
{{- else }}
{{- $external = concat $external (index $values.networkPolicy.external $store | default list) }}
{{- end }}
{{- end }}
external: {{ toJson $external }}
{{- end -}}
