// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"encoding/json"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/envsubst"
	lua "github.com/yuin/gopher-lua"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// TestFluxLosesNothing substitutes variables as Flux does in what it applies, in strict mode and with none set. A manifest that has
// something like a variable says that it is none.
func TestFluxLosesNothing(t *testing.T) {
	strict := func(string) (string, bool) { return "", false }
	checked := 0
	for _, folder := range []string{"../config", "../bundle", "../charts/metricspipeline-operator/crds"} {
		err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || filepath.Ext(path) != ".yaml" {
				return err
			}
			for _, document := range separator.Split(read(t, path), -1) {
				var object metav1.PartialObjectMetadata
				if err := yaml.Unmarshal([]byte(document), &object); err != nil {
					continue // A patch of JSON 6902.
				}
				checked++
				if object.Annotations["kustomize.toolkit.fluxcd.io/substitute"] == "disabled" {
					continue
				}
				if got, err := envsubst.Eval(document, strict); err != nil || got != document {
					t.Errorf("%s: Flux changes %s %s (%v): write it without ${...}, or annotate it", path, object.Kind, object.Name, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if checked < 30 {
		t.Errorf("%d manifests, which cannot be all", checked)
	}
	if got, err := envsubst.Eval("as: $${1}_per_second", strict); err != nil || got != "as: ${1}_per_second" {
		t.Errorf("docs/gitops.md: one more $ gives %q, %v", got, err)
	}
}

// TestArgoHealth runs the check that docs/gitops.md gives to Argo CD, in the interpreter that Argo CD runs it in.
func TestArgoHealth(t *testing.T) {
	ready := func(status metav1.ConditionStatus, reason, message string) metav1.Condition {
		return metav1.Condition{Type: v1alpha1.ConditionReady, Status: status, Reason: reason, Message: message}
	}
	stalled := metav1.Condition{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonRulesRejected,
		Message: "a rule is rejected"}
	reconciling := metav1.Condition{Type: v1alpha1.ConditionReconciling, Status: metav1.ConditionTrue}
	settled := metav1.Condition{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionFalse, Message: "Nothing waits."}
	for name, tc := range map[string]struct {
		observed        int64
		conditions      []metav1.Condition
		status, message string
	}{
		"the default of the schema": {0, []metav1.Condition{ready(metav1.ConditionUnknown, v1alpha1.ReasonPending, "x")},
			"Progressing", "has not looked"},
		"no status":      {0, nil, "Progressing", "has not looked"},
		"an older spec":  {2, []metav1.Condition{ready(metav1.ConditionTrue, v1alpha1.ReasonReady, "all")}, "Progressing", "has not looked"},
		"it comes up":    {3, []metav1.Condition{ready(metav1.ConditionFalse, v1alpha1.ReasonProgressing, "starts"), reconciling}, "Progressing", "starts"},
		"it works":       {3, []metav1.Condition{settled, ready(metav1.ConditionTrue, v1alpha1.ReasonReady, "all")}, "Healthy", "all"},
		"it waits":       {3, []metav1.Condition{ready(metav1.ConditionFalse, v1alpha1.ReasonRulesRejected, "x"), stalled}, "Degraded", "a rule is rejected"},
		"stalled first":  {3, []metav1.Condition{stalled, ready(metav1.ConditionFalse, v1alpha1.ReasonRulesRejected, "x")}, "Degraded", "a rule is rejected"},
		"nothing is set": {3, nil, "Progressing", ""},
	} {
		t.Run(name, func(t *testing.T) {
			pipeline := &v1alpha1.MetricsPipeline{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName, Generation: 3},
				Status: v1alpha1.MetricsPipelineStatus{ObservedGeneration: tc.observed, Conditions: tc.conditions}}
			status, message := health(t, pipeline)
			if status != tc.status || !strings.Contains(message, tc.message) {
				t.Errorf("%s %q, want %s with %q", status, message, tc.status, tc.message)
			}
		})
	}
}

// health runs the documented check on a pipeline.
func health(t *testing.T, pipeline *v1alpha1.MetricsPipeline) (status, message string) {
	t.Helper()
	interpreter := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer interpreter.Close()
	lua.OpenBase(interpreter)
	encoded, err := json.Marshal(pipeline)
	if err != nil {
		t.Fatal(err)
	}
	object := &unstructured.Unstructured{Object: map[string]any{}}
	if err := json.Unmarshal(encoded, &object.Object); err != nil {
		t.Fatal(err)
	}
	interpreter.SetGlobal("obj", luaValue(interpreter, object.Object))
	if err := interpreter.DoString(argoCheck(t)); err != nil {
		t.Fatal(err)
	}
	answer, ok := interpreter.Get(-1).(*lua.LTable)
	if !ok {
		t.Fatalf("the check returns %s", interpreter.Get(-1).Type())
	}
	return answer.RawGetString("status").String(), answer.RawGetString("message").String()
}

// argoCheck returns the check of docs/gitops.md.
func argoCheck(t *testing.T) string {
	t.Helper()
	for _, block := range example.FindAllStringSubmatch(read(t, "gitops.md"), -1) {
		var settings corev1.ConfigMap
		if err := yaml.Unmarshal([]byte(block[1]), &settings); err != nil {
			t.Fatal(err)
		}
		if check := settings.Data["resource.customizations.health."+v1alpha1.GroupVersion.Group+"_MetricsPipeline"]; check != "" {
			return check
		}
	}
	t.Fatal("docs/gitops.md has no check of the health for Argo CD")
	return ""
}

// luaValue returns a value of JSON as Argo CD hands it to a check.
func luaValue(interpreter *lua.LState, value any) lua.LValue {
	switch typed := value.(type) {
	case map[string]any:
		table := interpreter.NewTable()
		for key, field := range typed {
			table.RawSetString(key, luaValue(interpreter, field))
		}
		return table
	case []any:
		table := interpreter.NewTable()
		for _, item := range typed {
			table.Append(luaValue(interpreter, item))
		}
		return table
	case string:
		return lua.LString(typed)
	case float64:
		return lua.LNumber(typed)
	case bool:
		return lua.LBool(typed)
	}
	return lua.LNil
}
