{{/*
The sidecar, for the product's own pod. An umbrella chart that has this one as a dependency includes them with
(index .Subcharts "controlcore-exporter"); everybody else applies the patch that sidecar.yaml renders from the same text.
*/}}

{{- define "cc.sidecar" -}}{{ include "cc.name" . }}-sidecar{{- end }}

{{/* "true" where the API server knows native sidecars: on by default from Kubernetes 1.29. In 1.28 an init container with
     restartPolicy Always never ends, and its pod never starts. */}}
{{- define "controlcore-exporter.sidecarIsNative" -}}
{{- if eq .Values.sidecar.form "auto" -}}
{{- if semverCompare ">=1.29.0-0" .Capabilities.KubeVersion.Version }}true{{ end -}}
{{- else if eq .Values.sidecar.form "native" }}true{{ end -}}
{{- end }}

{{/* One element of `initContainers` (native) or `containers`. It has no probe: a faulty monitor must not make the
     product's pod unready, or restart anything in it. Without a CPU request the product's autoscaler could not compute
     the pod's utilisation any more. */}}
{{- define "controlcore-exporter.sidecarContainer" -}}
- name: controlcore-exporter
  image: {{ include "cc.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  {{- if include "controlcore-exporter.sidecarIsNative" . }}
  restartPolicy: Always
  {{- end }}
  command: [controlcore-exporter]
  args: [--config.file=/etc/controlcore-exporter/config.yaml]
  # Also without its file it knows that it is a sidecar: then it serves controlcore_exporter_config_valid 0 and never exits.
  env: [{name: CONTROLCORE_EXPORTER_SCOPE, value: pod}]
  ports:
    - {name: exporter, containerPort: {{ .Values.sidecar.port }}, protocol: TCP}
  resources: {{- toYaml .Values.sidecar.resources | nindent 4 }}
  securityContext:
    {{- include "cc.containerSecurity" . | nindent 4 }}
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    seccompProfile: {type: RuntimeDefault}
  volumeMounts:
    - {name: controlcore-exporter, mountPath: /etc/controlcore-exporter, readOnly: true}
{{- end }}

{{/* One element of `volumes`. Optional: a ConfigMap that is gone must not keep the product's pod from starting. */}}
{{- define "controlcore-exporter.sidecarVolume" -}}
- name: controlcore-exporter
  configMap: {name: {{ include "cc.sidecar" . }}, optional: true}
{{- end }}

{{/* Annotations of the pod template. */}}
{{- define "controlcore-exporter.sidecarAnnotations" -}}
{{ include "cc.scrape" (dict "root" . "port" .Values.sidecar.port) }}
controlcore.io/sidecar-config: {{ include "cc.sidecarConfig" . | sha256sum | trunc 16 | quote }}
{{- end }}
