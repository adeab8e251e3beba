{{/* A store of this chart's own, for trials: one pod, one volume. dict root component config port portName user mountPath
     environment args secrets(bool) probe(list) */}}
{{- define "haechi.bundledStore" -}}
{{- $name := include "haechi.componentName" . -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}
  labels:
{{- include "haechi.labels" . | nindent 4 }}
automountServiceAccountToken: false
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  labels:
{{- include "haechi.labels" . | nindent 4 }}
spec:
  type: ClusterIP
  selector:
{{- include "haechi.selectorLabels" . | nindent 4 }}
  ports:
    - name: {{ .portName }}
      port: {{ .port }}
      targetPort: {{ .portName }}
      protocol: TCP
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ $name }}
  labels:
{{- include "haechi.labels" . | nindent 4 }}
spec:
  replicas: 1
  serviceName: {{ $name }}
  selector:
    matchLabels:
{{- include "haechi.selectorLabels" . | nindent 6 }}
  template:
    metadata:
      labels:
{{- include "haechi.labels" . | nindent 8 }}
    spec:
      serviceAccountName: {{ $name }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: 60
      securityContext:
{{- include "haechi.podSecurityContext" (dict "user" .user) | nindent 8 }}
{{- include "haechi.imagePullSecrets" .root | indent 6 }}
{{- include "haechi.placement" . | nindent 6 }}
      containers:
        - name: {{ .component }}
          image: {{ include "haechi.image" (dict "root" .root "name" .component) }}
          imagePullPolicy: {{ .root.Values.global.imagePullPolicy }}
{{- with .args }}
          args:
{{- toYaml . | nindent 12 }}
{{- end }}
          securityContext:
{{- include "haechi.containerSecurityContext" . | nindent 12 }}
{{- with .environment }}
          env:
{{- . | nindent 12 }}
{{- end }}
          ports:
            - name: {{ .portName }}
              containerPort: {{ .port }}
              protocol: TCP
          startupProbe:
{{- include "haechi.storeProbe" . | nindent 12 }}
            periodSeconds: 5
            failureThreshold: 60
          livenessProbe:
{{- include "haechi.storeProbe" . | nindent 12 }}
            periodSeconds: 20
            failureThreshold: 6
          readinessProbe:
{{- include "haechi.storeProbe" . | nindent 12 }}
            periodSeconds: 10
            failureThreshold: 3
          resources:
{{- toYaml .config.resources | nindent 12 }}
          volumeMounts:
            - name: data
              mountPath: {{ .mountPath }}
            - name: scratch
              mountPath: /tmp
{{- with .mounts }}
{{- toYaml . | nindent 12 }}
{{- end }}
      volumes:
        - name: scratch
          emptyDir:
            sizeLimit: 256Mi
{{- with .volumes }}
{{- . | nindent 8 }}
{{- end }}
  volumeClaimTemplates:
    - metadata:
        name: data
        labels:
{{- include "haechi.selectorLabels" . | nindent 10 }}
      spec:
        accessModes: ["ReadWriteOnce"]
{{- with .config.storageClassName }}
        storageClassName: {{ . }}
{{- end }}
        resources:
          requests:
            storage: {{ .config.size }}
{{- end -}}

{{- define "haechi.storeProbe" -}}
{{- if .path -}}
httpGet:
  path: {{ .path }}
  port: {{ .portName }}
{{- else -}}
tcpSocket:
  port: {{ .portName }}
{{- end }}
timeoutSeconds: 5
{{- end -}}
