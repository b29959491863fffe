{{- define "type" }}
## {{ .Name }}
{{ .Doc }}
{{ if and .IsAlias (not .EnumValues) }}
A {{ markdownRenderTypeLink .UnderlyingType }}. {{ join ", " .Validation }}
{{ end -}}
{{- if .Members }}
| Field | Description | Default | Bounds |
| --- | --- | --- | --- |
{{ if .GVK -}}
| `apiVersion` | `{{ .GVK.Group }}/{{ .GVK.Version }}` | | |
| `kind` | `{{ .GVK.Kind }}` | | |
{{ end -}}
{{ range .Members -}}
| `{{ .Name }}` _{{ markdownRenderType .Type }}_ | {{ template "field" . }} | {{ template "default" .Default }} | {{ template "bounds" dict "of" .Validation "values" .Type.EnumValues }} |
{{ end -}}
{{- end -}}
{{- if .EnumValues }}
| Value | Description |
| --- | --- |
{{ range .EnumValues -}}
{{- /* A comment begins with the name of the constant, which no reader of the page knows. */ -}}
| `{{ .Name }}` | {{ template "prose" (regexReplaceAll "^[A-Z][a-z]+[A-Z][A-Za-z]+ " .Doc "") }} |
{{ end -}}
{{- end -}}
{{- end -}}

{{- /* A comment is wrapped where its source is; in a table it is one line. */ -}}
{{- define "prose" }}{{ . | replace "\n" " " | replace "|" "\\|" | trim }}{{ end -}}

{{- define "field" -}}
{{- if eq .Name "metadata" -}}
Only the name is used: there is one resource in a cluster, and its name is `default`.
{{- else -}}
{{- range .Validation }}{{ if hasPrefix "Required" . }}Required. {{ end }}{{ end }}{{ template "prose" .Doc }}
{{- end -}}
{{- end -}}

{{- /* That a section may be left out is no default. */ -}}
{{- define "default" }}{{ if . }}{{ if ne (nospace .) "{}" }}`{{ . }}`{{ end }}{{ end }}{{ end -}}

{{- /* Whether a field is required is said with it. The values of an enumeration are left out where its type has them. */ -}}
{{- define "bounds" -}}
{{- $bounds := list -}}
{{- $values := .values -}}
{{- range .of -}}
{{- if not (or (hasPrefix "Optional" .) (hasPrefix "Required" .) (and $values (hasPrefix "Enum" .))) -}}
{{- $bounds = append $bounds (. | replace "|" "\\|") -}}
{{- end -}}
{{- end -}}
{{- join "<br />" $bounds -}}
{{- end -}}
