// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package patchpolicy

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// base is a component whose pods run under the level restricted.
const base = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: lamp, namespace: metrics}
spec:
  selector: {matchLabels: {app: lamp}}
  template:
    metadata: {annotations: {metricspipeline.io/digest: abc, team: one}}
    spec:
      serviceAccountName: lamp
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: lamp
        args: [--verify=true]
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
        env: [{name: A, valueFrom: {secretKeyRef: {name: by-env, key: a}}}, {name: B, valueFrom: {configMapKeyRef: {name: map-by-env, key: b}}}]
        envFrom: [{secretRef: {name: by-env-from}}, {configMapRef: {name: map-by-env-from}}]
      volumes:
      - {name: one, secret: {secretName: by-volume}}
      - {name: two, configMap: {name: map-by-volume}}
      - {name: three, projected: {sources: [{secret: {name: by-projection}}, {configMap: {name: map-by-projection}}]}}
`

func object(t *testing.T, content string) *unstructured.Unstructured {
	t.Helper()
	fields := map[string]any{}
	if err := yaml.Unmarshal([]byte(content), &fields); err != nil {
		t.Fatal(err)
	}
	content2, err := yaml.YAMLToJSON([]byte(content))
	if err != nil {
		t.Fatal(err)
	}
	parsed := &unstructured.Unstructured{} // By way of JSON, as the renderer has it: whole numbers are int64.
	if err := parsed.UnmarshalJSON(content2); err != nil {
		t.Fatal(err)
	}
	return parsed
}

// swap returns the base with one text in place of another.
func swap(t *testing.T, content, before, after string) *unstructured.Unstructured {
	t.Helper()
	if !strings.Contains(content, before) {
		t.Fatalf("the base has no %q", before)
	}
	return object(t, strings.Replace(content, before, after, 1))
}

// TestCheck is about how objects are compared. What is allowed of which kind, the tables of package render show with patches.
func TestCheck(t *testing.T) {
	const sidecar = "- name: side\n        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}\n      - name: lamp"
	const twin = "- {name: lamp, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}, env: [{name: X, valueFrom: " +
		"{secretKeyRef: {name: theirs, key: a}}}]}\n      - name: lamp"
	for name, tc := range map[string]struct {
		before, after string
		// says is what the error has; empty where there is none.
		says string
	}{
		"nothing":                         {"", "", ""},
		"a field of the list":             {"serviceAccountName: lamp", "serviceAccountName: lamp\n      dnsPolicy: Default", ""},
		"a field that is on no list":      {"serviceAccountName: lamp", "serviceAccountName: lamp\n      hostPID: false", "spec.hostPID to false"},
		"a field that nobody knows":       {"serviceAccountName: lamp", "serviceAccountName: lamp\n      next: 1", "spec.template.spec.next to 1"},
		"an empty one that nobody knows":  {"serviceAccountName: lamp", "serviceAccountName: lamp\n      next: {}", "next to {}"},
		"a null is as nothing":            {"serviceAccountName: lamp", "serviceAccountName: lamp\n      hostPID: null", ""},
		"a removed field":                 {"serviceAccountName: lamp", "dnsPolicy: Default", "removes spec.template.spec.serviceAccountName"},
		"a list in place of a map":        {"metadata: {annotations: {metricspipeline.io/digest: abc, team: one}}", "metadata: []", "template.metadata to []"},
		"a word in place of a list":       {"envFrom: [{secretRef: {name: by-env-from}}, {configMapRef: {name: map-by-env-from}}]", "envFrom: none", `envFrom to "none"`},
		"a number as name of a Secret":    {"name: by-env,", "name: 7,", "secretKeyRef.name to 7"},
		"a Secret that is there":          {"name: by-env,", "name: by-projection,", ""},
		"another Secret":                  {"name: by-env,", "name: theirs,", "no other Secret"},
		"a container that hides another":  {"- name: lamp", twin, `containers[0].env[X].valueFrom.secretKeyRef.name to "theirs"`},
		"a sidecar":                       {"- name: lamp", sidecar, ""},
		"another order":                   {"{name: A, valueFrom: {secretKeyRef: {name: by-env, key: a}}}, {name: B, valueFrom: {configMapKeyRef: {name: map-by-env, key: b}}}", "{name: B, valueFrom: {configMapKeyRef: {name: map-by-env, key: b}}}, {name: A, valueFrom: {secretKeyRef: {name: by-env, key: a}}}", ""},
		"no container any more":           {"- name: lamp", "- name: other", "removes spec.template.spec.containers[lamp]"},
		"another version":                 {"apiVersion: apps/v1", "apiVersion: apps/v2", `apiVersion to "apps/v2"`},
		"another group":                   {"apiVersion: apps/v1", "apiVersion: example.com/v1", `apiVersion to "example.com/v1"`},
		"another name":                    {"name: lamp,", "name: lantern,", "removes or renames Deployment metrics/lamp"},
		"an annotation of the user's":     {"team: one", "team: two", ""},
		"an annotation of the operator's": {"digest: abc", "digest: xyz", `annotations["metricspipeline.io/digest"] to "xyz"`},
		"a flag":                          {"[--verify=true]", "[--verify=true, --v=4]", ""},
		"a guarded flag that stays":       {"[--verify=true]", "[--v=4, --verify=true]", ""},
		"a guarded flag with a value":     {"[--verify=true]", "[--verify=true, --verify=false]", `"--verify=false" would weaken`},
		"a guarded flag alone":            {"[--verify=true]", "[--verify=true, --verify, 'false']", `"--verify" would weaken`},
		"one of a guarded family":         {"[--verify=true]", "[--verify=true, --allow-all=x]", `"--allow-all=x" would weaken`},
		"a guarded flag as command":       {"args: [--verify=true]", "command: [/lamp, --allow-none]\n        args: [--verify=true]", `"--allow-none" would`},
	} {
		t.Run(name, func(t *testing.T) {
			after := object(t, base)
			if tc.before != "" {
				after = swap(t, base, tc.before, tc.after)
			}
			err := Check([]*unstructured.Unstructured{object(t, base)}, []*unstructured.Unstructured{after}, []string{"--verify", "--allow-"})
			if tc.says == "" && err != nil {
				t.Errorf("refused: %v", err)
			} else if tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
				t.Errorf("error %v, want one that says %q", err, tc.says)
			}
		})
	}
}

// TestFieldsOfTheSpecStay: what a field has set is no violation of a patch, and makes room for nothing beside it.
func TestFieldsOfTheSpecStay(t *testing.T) {
	onHost := strings.Replace(base, "serviceAccountName: lamp", "serviceAccountName: lamp\n      hostNetwork: true", 1)
	for name, tc := range map[string]struct{ before, after, says string }{
		"nothing else":    {"team: one", "team: two", ""},
		"its processes":   {"hostNetwork: true", "hostNetwork: true\n      hostPID: true", "hostPID to true"},
		"a privileged":    {"{allowPrivilegeEscalation: false", "{privileged: true, allowPrivilegeEscalation: false", "privileged"},
		"a host's port":   {"args: [--verify=true]", "ports: [{containerPort: 80, hostPort: 80}]", "hostPort"},
		"another account": {"serviceAccountName: lamp", "serviceAccountName: default", "component's own ServiceAccount"},
	} {
		err := Check([]*unstructured.Unstructured{object(t, onHost)}, []*unstructured.Unstructured{swap(t, onHost, tc.before, tc.after)}, nil)
		if tc.says == "" && err != nil || tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
			t.Errorf("%s: error %v, want %q", name, err, tc.says)
		}
	}
}

// TestAddedObject: a patch makes nothing.
func TestAddedObject(t *testing.T) {
	other := object(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: other, namespace: metrics}}")
	err := Check([]*unstructured.Unstructured{object(t, base)}, []*unstructured.Unstructured{object(t, base), other}, nil)
	if err == nil || !strings.Contains(err.Error(), "adds ConfigMap metrics/other") {
		t.Errorf("error %v", err)
	}
}

// TestErrorsAreShort: a status has little room.
func TestErrorsAreShort(t *testing.T) {
	after := swap(t, base, "serviceAccountName: lamp", "a: 1\n      b: 2\n      c: 3\n      d: 4\n      e: "+strings.Repeat("long ", 1000))
	err := Check([]*unstructured.Unstructured{object(t, base)}, []*unstructured.Unstructured{after}, nil)
	if err == nil || !strings.HasSuffix(err.Error(), "and 3 more") || len(err.Error()) > 1000 {
		t.Errorf("error %v", err)
	}
}
