// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package compat_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/metricspipeline/operator/tools/compat"
)

const (
	releases = "../../test/testdata/releases/*/install.yaml"
	present  = "../../config/crd/bases/metricspipeline.io_metricspipelines.yaml"
)

// harmless are rules of CEL that were added to what a release already had, and why no pipeline that was valid is refused.
var harmless = map[string]string{
	`!has(self.auth) || !has(self.adapterURL) || !isURL(self.adapterURL) || url(self.adapterURL).getScheme() != 'http' || url(self.adapterURL).getHostname() in ['localhost', '127.0.0.1', '::1', '[::1]'] || (has(self.allowHTTP) && self.allowHTTP)`: newAccess,
	`!has(self.ca) || !has(self.verification) || self.verification != 'Insecure'`:                                                              newAccess,
	`!(has(self.bearerToken) && has(self.basicAuth))`:                                                                                          newAccess,
	`!(has(self.bearerToken) || has(self.basicAuth)) || !has(self.headers) || !self.headers.exists(h, h.name.lowerAscii() == 'authorization')`: newAccess,
	"!has(self.kubelet) || !has(self.kubelet.tls) || !has(self.kubelet.tls.ca) || !has(self.extraArgs) || " +
		"self.extraArgs.all(a, a.split('=')[0] != '--kubelet-certificate-authority')": "kubelet.tls.ca is new",
	"!has(self.metricsServer) || !has(self.metricsServer.hostNetwork) || !self.metricsServer.hostNetwork || !has(self.prometheusAdapter) || " +
		"!has(self.prometheusAdapter.hostNetwork) || !self.prometheusAdapter.hostNetwork || (has(self.metricsServer.port) ? " +
		"self.metricsServer.port : 4443) != (has(self.prometheusAdapter.port) ? self.prometheusAdapter.port : 4444)": newPods,
	"!has(self.hostNetwork) || !self.hostNetwork || !has(self.port) || self.port != 10250": newPods,
	"!has(self.managed) || !(has(self.url) || has(self.ref))":                              newManaged,
	"!has(self.managed) || !(has(self.auth) || has(self.tls) || has(self.adapterURL) || (has(self.allowHTTP) && self.allowHTTP) || " +
		"(has(self.dialect) && self.dialect != 'PromQL'))": newManaged,
	"self.all(t, self.exists_one(o, o == t))": "the list was a set, which has each value once",
}

const (
	newPods    = "hostNetwork and port are new"
	newManaged = "managed is new"
)

const newAccess = "each is about a field of spec.prometheus that v0.1.0 does not have"

// decided are the other changes of what a release had, as they are found, and why they break no pipeline.
var decided = map[string]string{
	`^.spec.metricsServer.priorityClassName of v1alpha1: default value removed : "\"system-cluster-critical\""`:     classOfOperands,
	`^.spec.prometheusAdapter.priorityClassName of v1alpha1: default value removed : "\"system-cluster-critical\""`: classOfOperands,
	"^.status of v1alpha1: default added when there was none previously : " + strconv.Quote(pending): "a pipeline without a status was " +
		"taken for one that works; one that has a status keeps it",
	"^.spec.metricsServer.kubelet.preferredAddressTypes" + setToAtomic: appliedList,
	"^.spec.scrape.targets" + setToAtomic:                              appliedList,
}

const (
	setToAtomic = ` of v1alpha1: unhandled changes found : - XListType: &"set", + XListType: &"atomic",`
	appliedList = "a set joins what is applied with the default that is stored, so that an empty or shorter list could not be applied"
)

// brief is a finding in one line. Of a difference it has what is taken away and what is added.
func brief(what string) string {
	first, rest, _ := strings.Cut(what, "\n")
	parts := []string{first}
	for line := range strings.Lines(rest) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "-") || strings.HasPrefix(line, "+") {
			parts = append(parts, line)
		}
	}
	return strings.Join(strings.Fields(strings.Join(parts, " ")), " ")
}

// pending is the status of a pipeline that no operator has looked at.
const pending = `{"conditions":[{"lastTransitionTime":"1970-01-01T00:00:00Z","message":"The operator has not looked at this pipeline ` +
	`yet. If that stays so, it is not running: see the pods of the Deployment metricspipeline-operator.","reason":"Pending",` +
	`"status":"Unknown","type":"Ready"}],"observedGeneration":0}`

const classOfOperands = "the operator gives the same class where the cluster admits it, and a stored pipeline has it written out"

// TestReleasedFieldsStay: what a pipeline could say under any release, it can say now, with the same meaning.
func TestReleasedFieldsStay(t *testing.T) {
	files, err := filepath.Glob(releases)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d releases, %v", releases, len(files), err)
	}
	var rules []string
	for rule, why := range harmless {
		if why == "" {
			t.Errorf("harmless: %s: say why", rule)
		}
		rules = append(rules, rule)
	}
	for _, file := range files {
		found, err := compat.Breaks(read(t, file), read(t, present), rules...)
		if err != nil {
			t.Fatal(err)
		}
		for _, what := range found {
			if decided[brief(what)] != "" {
				continue
			}
			t.Errorf("compared with %s: %s", filepath.Base(filepath.Dir(file)), what)
		}
	}
}

// TestBreaks changes the present definition in each way that a user would notice.
func TestBreaks(t *testing.T) {
	schema := func(d *apiextv1.CustomResourceDefinition, path ...string) *apiextv1.JSONSchemaProps {
		return at(t, d.Spec.Versions[0].Schema.OpenAPIV3Schema, path...)
	}
	tests := map[string]struct {
		change func(*apiextv1.CustomResourceDefinition)
		want   string // In the only finding, or among several; empty: nothing is taken away.
	}{
		"a field is removed": {func(d *apiextv1.CustomResourceDefinition) {
			delete(schema(d, "spec", "metricsServer").Properties, "metricResolution")
		}, "spec.metricsServer.metricResolution"},
		"a field of the status is removed": {func(d *apiextv1.CustomResourceDefinition) {
			delete(schema(d, "status").Properties, "version")
		}, "status.version"},
		"a field is added": {func(d *apiextv1.CustomResourceDefinition) {
			schema(d, "spec").Properties["lamp"] = apiextv1.JSONSchemaProps{Type: "string"}
		}, ""},
		"an optional section with a required field is added": {func(d *apiextv1.CustomResourceDefinition) {
			schema(d, "spec").Properties["lamp"] = apiextv1.JSONSchemaProps{Type: "object", Required: []string{"bulb"},
				Properties: map[string]apiextv1.JSONSchemaProps{"bulb": {Type: "string"}}}
		}, ""},
		"a field becomes required": {func(d *apiextv1.CustomResourceDefinition) {
			field := schema(d, "spec")
			field.Required = append(field.Required, "scrape")
			set(t, d, field, "spec")
		}, "^.spec of v1alpha1: new required fields: [scrape]"},
		"a type changes": {func(d *apiextv1.CustomResourceDefinition) {
			set(t, d, &apiextv1.JSONSchemaProps{Type: "string"}, "spec", "metricsServer", "replicas")
		}, "spec.metricsServer.replicas of v1alpha1: type changed"},
		"a value of an enum is removed": {func(d *apiextv1.CustomResourceDefinition) {
			field := schema(d, "spec", "customMetrics", "policy")
			field.Enum = field.Enum[1:]
			set(t, d, field, "spec", "customMetrics", "policy")
		}, "allowed enum values removed"},
		"a value of an enum is added": {func(d *apiextv1.CustomResourceDefinition) {
			field := schema(d, "spec", "customMetrics", "policy")
			field.Enum = append(field.Enum, apiextv1.JSON{Raw: []byte(`"Lamp"`)})
			set(t, d, field, "spec", "customMetrics", "policy")
		}, ""},
		"a default changes": {func(d *apiextv1.CustomResourceDefinition) {
			field := schema(d, "spec", "metricsServer", "metricResolution")
			field.Default = &apiextv1.JSON{Raw: []byte(`"30s"`)}
			set(t, d, field, "spec", "metricsServer", "metricResolution")
		}, "default value changed"},
		"a maximum is lowered": {func(d *apiextv1.CustomResourceDefinition) {
			field := schema(d, "spec", "customMetrics", "rules")
			*field.MaxItems--
			set(t, d, field, "spec", "customMetrics", "rules")
		}, "maximum"},
		"the keys of a list change": {func(d *apiextv1.CustomResourceDefinition) {
			field := schema(d, "spec", "customMetrics", "rules")
			field.XListMapKeys = []string{"name"}
			set(t, d, field, "spec", "customMetrics", "rules")
		}, "unhandled changes"},
		"a rule is added": {func(d *apiextv1.CustomResourceDefinition) {
			field := schema(d, "spec")
			field.XValidations = append(field.XValidations, apiextv1.ValidationRule{Rule: "has(self.scrape)"})
			set(t, d, field, "spec")
		}, "^.spec of v1alpha1: rule added: has(self.scrape)"},
		"a harmless rule is added": {func(d *apiextv1.CustomResourceDefinition) {
			field := schema(d, "spec")
			field.XValidations = append(field.XValidations, apiextv1.ValidationRule{Rule: "!has(self.lamp)"})
			set(t, d, field, "spec")
		}, ""},
		"a rule is removed": {func(d *apiextv1.CustomResourceDefinition) {
			field := schema(d, "spec")
			field.XValidations = nil
			set(t, d, field, "spec")
		}, ""},
		"a version is not served": {func(d *apiextv1.CustomResourceDefinition) { d.Spec.Versions[0].Served = false }, "no longer served"},
		"a short name is gone":    {func(d *apiextv1.CustomResourceDefinition) { d.Spec.Names.ShortNames = nil }, "names: mp is gone"},
		"the scope changes": {func(d *apiextv1.CustomResourceDefinition) {
			d.Spec.Scope = apiextv1.NamespaceScoped
		}, "scope changed"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			changed := read(t, present)
			test.change(changed)
			found, err := compat.Breaks(read(t, present), changed, "!has(self.lamp)")
			if err != nil {
				t.Fatal(err)
			}
			if all := strings.Join(found, "\n"); (test.want == "") != (len(found) == 0) || !strings.Contains(all, test.want) {
				t.Errorf("found %q, want %q", all, test.want)
			}
		})
	}
}

func read(t *testing.T, file string) *apiextv1.CustomResourceDefinition {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	definition, err := compat.Read(content)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return definition
}

// at returns the schema of a field below another; what is below it can be changed in place.
func at(t *testing.T, schema *apiextv1.JSONSchemaProps, path ...string) *apiextv1.JSONSchemaProps {
	t.Helper()
	for _, name := range path {
		child, found := schema.Properties[name]
		if !found {
			t.Fatalf("the definition has no field %s of %s", name, strings.Join(path, "."))
		}
		schema = &child
	}
	return schema
}

// set replaces the schema of a field.
func set(t *testing.T, d *apiextv1.CustomResourceDefinition, schema *apiextv1.JSONSchemaProps, path ...string) {
	t.Helper()
	parent := at(t, d.Spec.Versions[0].Schema.OpenAPIV3Schema, path[:len(path)-1]...)
	parent.Properties[path[len(path)-1]] = *schema
}
