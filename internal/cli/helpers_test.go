// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"flag"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files anew")

// today is the time of every test.
var today = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// world is a command line with a cluster that is not there.
type world struct {
	*environment
	out, errOut *bytes.Buffer
}

// newWorld has a fake API server with objects; intercept may be empty.
func newWorld(t *testing.T, intercept interceptor.Funcs, objects ...client.Object) *world {
	t.Helper()
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none")) // Nothing of the machine's.
	streams, in, out, errOut := genericiooptions.NewTestIOStreams()
	in.WriteString("")
	w := &world{environment: newEnvironment("v9.9.9", streams), out: out, errOut: errOut}
	c := fake.NewClientBuilder().WithScheme(scheme()).WithRESTMapper(allKinds()).WithObjects(objects...).WithInterceptorFuncs(intercept).
		WithIndex(&corev1.Event{}, "involvedObject.kind", func(o client.Object) []string {
			return []string{o.(*corev1.Event).InvolvedObject.Kind}
		}).
		WithIndex(&corev1.Event{}, "involvedObject.name", func(o client.Object) []string {
			return []string{o.(*corev1.Event).InvolvedObject.Name}
		}).Build()
	w.client = func() (client.Client, error) { return c, nil }
	server := httptest.NewServer(http.HandlerFunc(answerAPI))
	t.Cleanup(server.Close)
	w.config = func() (*rest.Config, error) { return &rest.Config{Host: server.URL}, nil }
	w.now = func() time.Time { return today }
	w.pause = func(context.Context, time.Duration) error { return context.DeadlineExceeded }
	return w
}

// answerAPI answers what is not asked by the fake client: the version, and logs.
func answerAPI(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/version":
		_, _ = w.Write([]byte(`{"gitVersion":"v1.36.3"}`))
	case strings.HasSuffix(r.URL.Path, "/log") && r.URL.Query().Get("previous") == "true":
		_, _ = w.Write([]byte("it ended\n"))
	case strings.HasSuffix(r.URL.Path, "/log"):
		_, _ = w.Write([]byte(testLog))
	default:
		http.NotFound(w, r)
	}
}

// run runs a command line and checks its exit code.
func (w *world) run(t *testing.T, want int, arguments ...string) {
	t.Helper()
	w.out.Reset()
	w.errOut.Reset()
	if code := run(t.Context(), w.environment, arguments); code != want {
		t.Errorf("%q ended with %d, want %d\n%s%s", arguments, code, want, w.out, w.errOut)
	}
}

// golden compares with a file of testdata, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; run with -update to accept):\n%s", file, diff)
	}
}

// noCRD answers reads of the pipeline as an API server without its CRD.
var noCRD = interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object,
	options ...client.GetOption) error {
	if _, ok := object.(*v1alpha1.MetricsPipeline); ok {
		return &meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: v1alpha1.GroupVersion.Group, Kind: "MetricsPipeline"}}
	}
	return c.Get(ctx, key, object, options...)
}}

// allKinds knows the kinds of the scheme.
func allKinds() meta.RESTMapper {
	outside := maps.Clone(clusterScoped)
	outside[schema.GroupKind{Group: v1alpha1.GroupVersion.Group, Kind: "MetricsPipeline"}] = true
	outside[schema.GroupKind{Group: "apiregistration.k8s.io", Kind: "APIService"}] = true
	return kindsOf(scheme(), outside)
}
