// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// readPipeline reads one of testdata.
func readPipeline(t *testing.T, name string) *v1alpha1.MetricsPipeline {
	t.Helper()
	content, err := os.ReadFile("testdata/status/" + name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := &v1alpha1.MetricsPipeline{}
	if err := yaml.UnmarshalStrict(content, found); err != nil {
		t.Fatal(err)
	}
	return found
}

func TestStatus(t *testing.T) {
	for name, code := range map[string]int{
		"ready": ExitWorks, "broken": ExitBroken, "new-generation": ExitBroken, "not-looked-at": ExitBroken,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, interceptor.Funcs{}, readPipeline(t, name))
			w.run(t, code, "status")
			golden(t, "status/"+name+".txt", w.out.String())
			if w.errOut.Len() > 0 {
				t.Errorf("standard error has %q", w.errOut)
			}
		})
	}
}

// TestStatusColors: with colors the tree says the same, and a buffer or NO_COLOR has none.
func TestStatusColors(t *testing.T) {
	var with, without bytes.Buffer
	tree := statusTree(readPipeline(t, "broken"), today)
	canvas{&with, true}.tree(tree)
	canvas{&without, false}.tree(tree)
	if !strings.Contains(with.String(), "\x1b[31m✗\x1b[0m RulesAccepted") {
		t.Errorf("a broken condition is not red:\n%q", with.String())
	}
	plainText := with.String()
	for _, code := range colors {
		plainText = strings.ReplaceAll(plainText, "\x1b["+code+"m", "")
	}
	if plainText = strings.ReplaceAll(plainText, "\x1b[0m", ""); plainText != without.String() {
		t.Errorf("with colors it reads\n%s\nand without\n%s", plainText, without.String())
	}
}

func TestStatusOutput(t *testing.T) {
	w := newWorld(t, interceptor.Funcs{}, readPipeline(t, "broken"))
	w.run(t, ExitBroken, "status", "-o", "json")
	found := v1alpha1.MetricsPipeline{}
	if err := json.Unmarshal(w.out.Bytes(), &found); err != nil || found.Kind != "MetricsPipeline" || len(found.Status.Rules) == 0 {
		t.Errorf("-o json printed %v\n%s", err, w.out)
	}
	w.run(t, ExitBroken, "status", "-o", "yaml")
	if err := yaml.Unmarshal(w.out.Bytes(), &found); err != nil || !strings.HasPrefix(w.out.String(), "apiVersion: metricspipeline.io/v1alpha1\n") {
		t.Errorf("-o yaml printed %v\n%s", err, w.out)
	}
}

// TestStatusErrors: an error names what is missing and what to do.
func TestStatusErrors(t *testing.T) {
	forbidden := interceptor.Funcs{Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
		return apierrors.NewForbidden(schema.GroupResource{Group: "metricspipeline.io", Resource: "metricspipelines"}, "default", nil)
	}}
	for name, test := range map[string]struct {
		intercept interceptor.Funcs
		arguments []string
		code      int
		want      string
	}{
		"no pipeline": {interceptor.Funcs{}, nil, ExitError, "error: no MetricsPipeline in this cluster: apply config/samples/"},
		"no CRD": {noCRD, nil, ExitError, "error: this API server does not serve metricspipelines.metricspipeline.io: install the " +
			"operator first"},
		"no permission":  {forbidden, nil, ExitError, "bind the ClusterRole metricspipeline-viewer to yourself"},
		"another form":   {interceptor.Funcs{}, []string{"-o", "wide"}, ExitUsage, `--output is "wide": set it to json or yaml`},
		"an argument":    {interceptor.Funcs{}, []string{"default"}, ExitUsage, `takes no arguments, and "default" is one`},
		"a wrong flag":   {interceptor.Funcs{}, []string{"--wait"}, ExitUsage, "unknown flag: --wait"},
		"two that clash": {interceptor.Funcs{}, []string{"-w", "-o", "json"}, ExitUsage, "--watch and --output are both set"},
		"never Ready": {interceptor.Funcs{}, []string{"-w", "--timeout", "1s"}, ExitError,
			"there was no MetricsPipeline within --timeout 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, test.intercept)
			w.run(t, test.code, append([]string{"status"}, test.arguments...)...)
			if !strings.Contains(w.errOut.String(), test.want) {
				t.Errorf("standard error has %q, want %q", w.errOut, test.want)
			}
		})
	}
}

// TestStatusWatch: each change is printed once, and it ends when the pipeline is Ready for its present spec, or with the time.
func TestStatusWatch(t *testing.T) {
	w := newWorld(t, interceptor.Funcs{})
	looks := 0
	w.now = func() time.Time { return today.Add(time.Duration(looks) * time.Second) }
	steps := []func(c client.Client) error{
		func(client.Client) error { return nil },
		func(c client.Client) error { return c.Create(t.Context(), readPipeline(t, "not-looked-at")) },
		func(client.Client) error { return nil },
		func(c client.Client) error { return replace(t.Context(), c, readPipeline(t, "broken")) },
		func(c client.Client) error { return replace(t.Context(), c, readPipeline(t, "new-generation")) },
		func(c client.Client) error { return replace(t.Context(), c, readPipeline(t, "ready")) },
	}
	w.pause = func(context.Context, time.Duration) error {
		if looks == len(steps) {
			return context.DeadlineExceeded
		}
		c, err := w.client()
		if err != nil {
			return err
		}
		err = steps[looks](c)
		looks++
		return err
	}
	w.run(t, ExitWorks, "status", "--watch")
	golden(t, "status/watch.txt", w.out.String())

	never := newWorld(t, interceptor.Funcs{}, readPipeline(t, "broken"))
	never.run(t, ExitBroken, "status", "--watch", "--timeout", "1s")
	if !strings.Contains(never.errOut.String(), "not Ready after --timeout 1s") || !strings.Contains(never.out.String(), "└── ") {
		t.Errorf("a watch that ends before it is Ready prints\n%s%s", never.out, never.errOut)
	}
}

// replace makes a pipeline the one that there is.
func replace(ctx context.Context, c client.Client, by *v1alpha1.MetricsPipeline) error {
	if err := c.Delete(ctx, &v1alpha1.MetricsPipeline{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName}}); err != nil {
		return err
	}
	return c.Create(ctx, by)
}
