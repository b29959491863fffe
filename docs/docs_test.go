// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package docs_test checks the documentation against the code: what is written about fields, conditions and reasons is neither
// less nor more than what there is, and no link leads nowhere.
package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// kubernetesTypes are fields whose content Kubernetes defines and documents.
var kubernetesTypes = []string{
	"spec.metricsServer.resources", "spec.metricsServer.tolerations", "spec.metricsServer.affinity",
	"spec.prometheusAdapter.resources", "spec.prometheusAdapter.tolerations", "spec.prometheusAdapter.affinity",
	"spec.prometheus.managed.resources", "spec.prometheus.managed.tolerations", "spec.prometheus.managed.affinity",
	"spec.scrape.namespaceSelector", "spec.scrape.hostNetworkPods.namespaceSelector", "spec.scrape.honorLabels.namespaceSelector",
	"spec.scrape.bearerToken.namespaceSelector",
}

var (
	// field matches a field of the spec in code: spec.customMetrics.rules[].name or, for one of a list, rules[2].
	field   = regexp.MustCompile("`(spec\\.[A-Za-z.*\\[\\]0-9]+)`")
	index   = regexp.MustCompile(`\[[0-9]+\]`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	example = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")
	code    = regexp.MustCompile("`[^`\n]*`")
	fence   = regexp.MustCompile("(?ms)^```.*?^```$")
	// notInSlug are the characters that a heading's anchor leaves out.
	notInSlug = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// TestConditions demands a page for each condition and, in it, a section for each reason that its constant block has.
func TestConditions(t *testing.T) {
	pages := map[string][]string{}
	for condition, reasons := range conditions(t) {
		page := filepath.Join("conditions", condition+".md")
		headings := headingsOf(read(t, page))
		for _, name := range append([]string{condition}, reasons...) {
			if !slices.Contains(headings, name) {
				t.Errorf("docs/%s has no heading %q, a constant of api/v1alpha1/conditions.go", page, name)
			}
		}
		pages[page] = headings
	}
	for _, page := range glob(t, "conditions/[A-Z]*.md") {
		if _, known := pages[page]; !known && filepath.Base(page) != "README.md" {
			t.Errorf("docs/%s is about no condition of api/v1alpha1/conditions.go; remove it", page)
		}
	}
}

// TestFields demands that docs/fields mentions every field of the spec, and that no page mentions one that does not exist.
func TestFields(t *testing.T) {
	known := specFields(t)
	mentioned := map[string]bool{}
	for _, page := range glob(t, "fields/*.md") {
		for _, name := range fieldsIn(read(t, page)) {
			mentioned[name] = true
		}
	}
	for _, name := range known {
		if !mentioned[name] {
			t.Errorf("docs/fields does not mention `%s`, which the CRD has", name)
		}
	}
	for _, page := range allPages(t) {
		for _, name := range fieldsIn(read(t, page)) {
			if !slices.Contains(known, name) && !slices.Contains(prometheusFields, name) {
				t.Errorf("%s mentions `%s`, which the CRD does not have", page, name)
			}
		}
	}
}

// prometheusFields are fields of a Prometheus object, which the pages mention as well.
var prometheusFields = []string{
	"spec.serviceName", "spec.routePrefix", "spec.scrapeInterval", "spec.shards", "spec.serviceMonitorSelector.matchLabels",
	"spec.web.tlsConfig", "spec.version",
}

// TestLinks follows every link between pages, to its heading.
func TestLinks(t *testing.T) {
	for _, page := range append(allPages(t), glob(t, "reference/*.md")...) {
		for _, match := range link.FindAllStringSubmatch(code.ReplaceAllString(fence.ReplaceAllString(read(t, page), ""), ""), -1) {
			target, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			file := page
			if target != "" {
				file = filepath.Join(filepath.Dir(page), target)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s: %v", page, match[1], err)
				continue
			}
			if anchor != "" && !slices.Contains(anchorsOf(read(t, file)), anchor) {
				t.Errorf("%s links to %s, and there is no such heading", page, match[1])
			}
		}
	}
}

// conditions returns the reasons by condition: a constant block has one condition and its reasons.
func conditions(t *testing.T) map[string][]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../api/v1alpha1/conditions.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, decl := range file.Decls {
		block, ok := decl.(*ast.GenDecl)
		if !ok || block.Tok != token.CONST {
			continue
		}
		condition, reasons := "", []string{}
		for _, spec := range block.Specs {
			constant := spec.(*ast.ValueSpec)
			value, err := strconv.Unquote(constant.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			switch name := constant.Names[0].Name; {
			case strings.HasPrefix(name, "Condition"):
				condition = value
			case strings.HasPrefix(name, "Reason"):
				reasons = append(reasons, value)
			}
		}
		if condition != "" {
			found[condition] = reasons
		} else if len(reasons) > 0 {
			t.Errorf("api/v1alpha1/conditions.go: the reasons %v stand in a block without a condition", reasons)
		}
	}
	if len(found) == 0 {
		t.Fatal("api/v1alpha1/conditions.go has no condition")
	}
	return found
}

// specFields returns the paths of all fields of the CRD's spec; [] is an element of a list, * a value of a map.
func specFields(t *testing.T) []string {
	t.Helper()
	var crd apiextv1.CustomResourceDefinition
	if err := yaml.Unmarshal([]byte(read(t, "../config/crd/bases/metricspipeline.io_metricspipelines.yaml")), &crd); err != nil {
		t.Fatal(err)
	}
	var fields []string
	var walk func(path string, schema apiextv1.JSONSchemaProps)
	walk = func(path string, schema apiextv1.JSONSchemaProps) {
		if slices.Contains(kubernetesTypes, path) {
			return
		}
		for name, property := range schema.Properties {
			fields = append(fields, path+"."+name)
			walk(path+"."+name, property)
		}
		if schema.Items != nil && schema.Items.Schema != nil {
			walk(path+"[]", *schema.Items.Schema)
		}
		if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
			walk(path+".*", *schema.AdditionalProperties.Schema)
		}
	}
	walk("spec", crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"])
	slices.Sort(fields)
	return fields
}

func fieldsIn(content string) []string {
	var names []string
	for _, match := range field.FindAllStringSubmatch(content, -1) {
		names = append(names, index.ReplaceAllString(match[1], "[]"))
	}
	return names
}

func headingsOf(content string) []string {
	var headings []string
	for _, match := range heading.FindAllStringSubmatch(fence.ReplaceAllString(content, ""), -1) {
		headings = append(headings, match[1])
	}
	return headings
}

// anchorsOf returns the anchors of a page's headings, as GitHub makes them.
func anchorsOf(content string) []string {
	var anchors []string
	for _, text := range headingsOf(content) {
		anchors = append(anchors, strings.ReplaceAll(notInSlug.ReplaceAllString(strings.ToLower(text), ""), " ", "-"))
	}
	return anchors
}

// allPages are those that people write, by their path from here.
func allPages(t *testing.T) []string {
	t.Helper()
	return slices.Concat(glob(t, "../*.md"), glob(t, "*.md"), glob(t, "fields/*.md"), glob(t, "conditions/*.md"))
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("no file matches docs/%s: %v", pattern, err)
	}
	return found
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
