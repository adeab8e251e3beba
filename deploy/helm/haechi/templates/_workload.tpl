{{/* A Deployment of one of our images, with its service account, Service, budget and autoscaler.

     dict root component image config port [live ready command secrets environment mounts volumes grace startup]
     `config` is the component's own part of the values; `secrets` are keys; `environment` is a dict of plain values. */}}

{{- define "haechi.workload" -}}
{{- $name := include "haechi.componentName" . -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}
  labels:
{{- include "haechi.labels" . | nindent 4 }}
{{- with .config.serviceAccountAnnotations }}
  annotations:
{{- toYaml . | nindent 4 }}
{{- end }}
automountServiceAccountToken: false
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  labels:
{{- include "haechi.labels" . | nindent 4 }}
spec:
{{- if not (or (dig "autoscaling" "enabled" false .config) (dig "keda" "enabled" false .config)) }}
  replicas: {{ .config.replicas }}
{{- end }}
  revisionHistoryLimit: 3
  strategy:
{{- if eq (.config.rollout | default "surge") "recreate" }}
    type: Recreate
{{- else }}
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: 0
      maxSurge: 1
{{- end }}
  selector:
    matchLabels:
{{- include "haechi.selectorLabels" . | nindent 6 }}
  template:
{{- include "haechi.podTemplate" . | nindent 4 }}
{{- if .port }}
---
{{ include "haechi.service" . }}
{{- end }}
{{- if and .config.podDisruptionBudget (or (gt (int .config.replicas) 1) (dig "autoscaling" "enabled" false .config)) }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  labels:
{{- include "haechi.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
{{- include "haechi.selectorLabels" . | nindent 6 }}
{{- end }}
{{- if dig "autoscaling" "enabled" false .config }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ $name }}
  labels:
{{- include "haechi.labels" . | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ $name }}
  minReplicas: {{ .config.autoscaling.minReplicas }}
  maxReplicas: {{ .config.autoscaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ .config.autoscaling.targetCPUUtilizationPercentage }}
{{- end }}
{{- end -}}

{{- define "haechi.service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "haechi.componentName" . }}
  labels:
{{- include "haechi.labels" . | nindent 4 }}
spec:
  type: ClusterIP
  selector:
{{- include "haechi.selectorLabels" . | nindent 4 }}
  ports:
    - name: http
      port: {{ .port }}
      targetPort: http
      protocol: TCP
{{- end -}}

{{- define "haechi.podTemplate" -}}
metadata:
  labels:
{{- include "haechi.labels" . | nindent 4 }}
{{- with .config.podLabels }}
{{- toYaml . | nindent 4 }}
{{- end }}
  annotations:
    haechi.bank/settings: {{ toYaml (dict "shared" .root.Values.settings "own" .config.settings) | sha256sum | trunc 32 }}
{{- with .config.podAnnotations }}
{{- toYaml . | nindent 4 }}
{{- end }}
spec:
  serviceAccountName: {{ include "haechi.componentName" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .grace | default 30 }}
  securityContext:
{{- include "haechi.podSecurityContext" (dict) | nindent 4 }}
{{- include "haechi.imagePullSecrets" .root | indent 2 }}
{{- include "haechi.placement" . | nindent 2 }}
{{- with .config.runtimeClassName }}
  runtimeClassName: {{ . }}
{{- end }}
  containers:
    - name: {{ .component }}
      image: {{ include "haechi.image" (dict "root" .root "name" .image) }}
      imagePullPolicy: {{ .root.Values.global.imagePullPolicy }}
{{- with .command }}
      command:
{{- toYaml . | nindent 8 }}
{{- end }}
      securityContext:
{{- include "haechi.containerSecurityContext" . | nindent 8 }}
      env:
{{- include "haechi.environment" . | nindent 8 }}
{{- with .port }}
      ports:
        - name: http
          containerPort: {{ . }}
          protocol: TCP
{{- end }}
{{- include "haechi.probes" . | nindent 6 }}
{{- if .port }}
      lifecycle:
        preStop:
          # Endpoints forget this pod before it stops to take new connections; running answers then end in their own time.
          sleep:
            seconds: {{ .root.Values.global.preStopSeconds }}
{{- end }}
      resources:
{{- toYaml .config.resources | nindent 8 }}
      volumeMounts:
        - name: secrets
          mountPath: /run/secrets/haechi
          readOnly: true
        - name: scratch
          mountPath: /tmp
        - name: home
          mountPath: /var/lib/haechi
{{- with .mounts }}
{{- toYaml . | nindent 8 }}
{{- end }}
  volumes:
{{- include "haechi.secretsVolume" (dict "root" .root "keys" .secrets) | nindent 4 }}
    - name: scratch
      emptyDir:
        sizeLimit: {{ .config.scratchSize | default "256Mi" }}
    - name: home
      emptyDir:
        sizeLimit: {{ .config.scratchSize | default "256Mi" }}
{{- with .volumes }}
{{- toYaml . | nindent 4 }}
{{- end }}
{{- end -}}

{{/* Variables: what the chart knows, then the values' `settings` of all, then the component's own, each name once. */}}
{{- define "haechi.environment" -}}
{{- $known := dict "HAECHI_ENVIRONMENT" .root.Values.environment "HAECHI_SECRETS_DIRECTORY" "/run/secrets/haechi" "HAECHI_HOME" "/var/lib/haechi" "PYTHONDONTWRITEBYTECODE" "1" -}}
{{- $all := mergeOverwrite $known (.environment | default dict) (.root.Values.settings | default dict) (.config.settings | default dict) -}}
{{- range $name := keys $all | sortAlpha }}
- name: {{ $name }}
  value: {{ index $all $name | toString | quote }}
{{- end }}
{{- end -}}

{{- define "haechi.probes" -}}
{{- if .port -}}
startupProbe:
{{- include "haechi.httpProbe" (dict "path" (.live | default "/health/live") "port" "http" "period" 5 "failures" (.startup | default 36)) | nindent 2 }}
livenessProbe:
{{- include "haechi.httpProbe" (dict "path" (.live | default "/health/live") "port" "http" "failures" 6) | nindent 2 }}
readinessProbe:
{{- include "haechi.httpProbe" (dict "path" (.ready | default "/health/live") "port" "http") | nindent 2 }}
{{- else -}}
livenessProbe:
  exec:
    command: ["python", "/opt/haechi/heartbeat.py", "/tmp/heartbeat", "180"]
  initialDelaySeconds: 60
  periodSeconds: 60
  timeoutSeconds: 10
  failureThreshold: 3
readinessProbe:
  exec:
    command: ["python", "/opt/haechi/heartbeat.py", "/tmp/heartbeat", "180"]
  periodSeconds: 30
  timeoutSeconds: 10
{{- end -}}
{{- end -}}
