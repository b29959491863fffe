// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package role

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

const (
	missingFile     = "missing.txt"
	missingPreamble = `# For each permission of the operator, whatever its name, what says that it is missing, while the rest works: written by
# make test-role, never by hand. make verify fails when the roles are others than these.
`
)

// What is written of a permission that no condition names.
const (
	notReady = "readyz fails"
	notUsed  = "is not used by a pipeline"
)

// unnamed are the permissions, by what their name begins with after the role, that no condition can name, and what happens
// instead.
var unnamed = map[string]string{
	"list metricspipelines.metricspipeline.io":         notReady,
	"watch metricspipelines.metricspipeline.io":        notReady,
	"patch metricspipelines/status.metricspipeline.io": notReady,
	"create events.events.k8s.io":                      "Events are not sent",
	"patch events.events.k8s.io":                       "Events are not repeated",
}

// TestMissing takes one permission after the other, with all of its names, away from the operator: within patience a condition names it, and what does
// not need it works. Without those that a status needs, the operator says that it is not ready.
func TestMissing(t *testing.T) {
	harness.NeedPodNetwork(t)
	roles, digest, err := readRoles()
	if err != nil {
		t.Fatal(err)
	}
	var of map[string]*parts
	if !t.Run("none", func(t *testing.T) { of = wholeRole(t) }) {
		t.FailNow()
	}
	var mutex sync.Mutex
	found := map[string]string{}
	complete := t.Run("permission", func(t *testing.T) {
		for _, r := range roles {
			for _, group := range r.grouped() {
				name := group[0].ofAnyName().String()
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					said := withoutPermission(t, r, group, of)
					mutex.Lock()
					defer mutex.Unlock()
					found[name] = said
				})
			}
		}
	})
	if f := flag.Lookup("test.run"); !complete || strings.Contains(f.Value.String(), "/") { // A run of some subtests is no proof.
		return
	}
	proof := missingPreamble + "roles sha256:" + digest + "\n"
	for _, p := range slices.Sorted(maps.Keys(found)) {
		proof += fmt.Sprintf("%s -> %s\n", p, found[p])
	}
	if err := os.WriteFile(missingFile, []byte(proof), 0o644); err != nil {
		t.Fatal(err)
	}
}

// phases are what a user does while a permission is missing, so that most are needed.
var phases = []struct {
	name string
	act  func(*world, string) error
	// deployed and pruned are the components that there have to be, and of which there may be nothing.
	deployed, pruned []string
}{
	{name: "deploy", deployed: []string{metricsServer, adapter}, act: func(w *world, prometheus string) error {
		return errors.Join(w.annotated(), w.autoscaled(), w.apply("prometheus: {url: '"+prometheus+"'}", rules))
	}},
	{name: "repair", deployed: []string{metricsServer, adapter}, act: func(w *world, _ string) error {
		_, err := w.DeleteObjects(func(object *unstructured.Unstructured) bool { return object.GetKind() == "Deployment" })
		return err
	}},
	{name: "prune", deployed: []string{metricsServer}, pruned: []string{adapter}, act: func(w *world, _ string) error {
		return errors.Join(w.notAnnotated(), w.notAutoscaled(), w.apply(builtIn))
	}},
}

// parts are the resources and the names of a component's objects.
type parts struct{ resources, names sets.Set[string] }

// need is true when a component cannot work without a permission: its objects are of that resource, or a request about one of
// them was refused.
func (of *parts) need(p permission, refused []string) bool {
	return of.resources.Has(p.resource) || slices.ContainsFunc(refused, func(request string) bool { return of.names.Has(path.Base(request)) })
}

// wholeRole goes through the phases with every permission, and returns the parts of each component.
func wholeRole(t *testing.T) map[string]*parts {
	t.Helper()
	all := map[string]*parts{}
	for _, component := range []string{metricsServer, adapter} {
		all[component] = &parts{sets.New[string](), sets.New[string]()}
	}
	w := beginMissing(t, suite.Take(t))
	w.phases(t, func() error {
		objects, err := w.Objects()
		for _, object := range objects {
			if of := all[object.GetLabels()[v1alpha1.ComponentLabel]]; of != nil {
				resource, _ := apimeta.UnsafeGuessKindToResource(object.GroupVersionKind())
				of.resources.Insert(resource.Resource)
				of.names.Insert(object.GetName())
			}
		}
		return errors.Join(err, w.readyz())
	}, func(string) bool { return true })
	if refused, _ := w.wire.refusals(); len(refused) > 0 {
		t.Fatalf("with the whole role the operator is refused: %s", strings.Join(refused, ", "))
	}
	if err := w.end(); err != nil {
		t.Fatal(err)
	}
	return all
}

// withoutPermission goes through the phases without a permission of any name, and returns what says so.
func withoutPermission(t *testing.T, r role, group []permission, of map[string]*parts) string {
	t.Helper()
	c := suite.Take(t)
	take(t, c, r, group...)
	p := group[0].ofAnyName()
	w := beginMissing(t, c)
	defer func() {
		if err := w.end(); err != nil {
			t.Error(err)
		}
	}()
	said, excused := unnamed[strings.TrimPrefix(p.String(), p.role+": ")]
	if said == notReady {
		if err := w.apply(builtIn); err != nil { // Without a pipeline there is no status to write.
			t.Fatal(err)
		}
		if err := w.within(func() error {
			if w.readyz() == nil {
				return errors.New("readyz says that the operator is ready")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return said
	}
	named := ""
	w.phases(t, func() error {
		if condition := w.naming(p); condition != "" {
			named = condition
		}
		refused, _ := w.wire.refusals()
		if named == "" && !excused && len(refused) > 0 {
			return fmt.Errorf("no condition names it; refused: %s", strings.Join(refused, ", "))
		}
		return nil
	}, func(component string) bool {
		refused, _ := w.wire.refusals()
		return !of[component].need(p, refused)
	})
	switch {
	case named != "":
		return named
	case excused:
		return said
	}
	return notUsed
}

// beginMissing starts an operator that serves its probes.
func beginMissing(t *testing.T, c *harness.Cluster) *world {
	t.Helper()
	w, err := begin(t, c, scenario{name: "missing", adjust: func(w *world, o *ctrl.Options) { o.HealthProbeBindAddress = w.address }}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.play(); err != nil {
		t.Fatal(err)
	}
	return w
}

// phases goes through the phases. In each of them the status is about the spec, the components that works selects are deployed,
// and check returns nil, within patience.
func (w *world) phases(t *testing.T, check func() error, works func(component string) bool) {
	t.Helper()
	prometheus := harness.StartPrometheus()
	defer prometheus.Stop()
	defer func() { _ = errors.Join(w.notAnnotated(), w.notAutoscaled()) }()
	for _, phase := range phases {
		if err := phase.act(w, prometheus.URL); err != nil {
			t.Fatalf("%s: %v", phase.name, err)
		}
		if err := w.within(func() error {
			if _, err := w.pipeline(); err != nil {
				return err
			}
			for _, component := range phase.deployed {
				if err := w.deployed(component); err != nil && works(component) {
					return fmt.Errorf("%s does not need it: %w", component, err)
				}
			}
			for _, component := range phase.pruned {
				if err := w.nothingLeft(component); err != nil && works(component) {
					return fmt.Errorf("to remove %s does not need it: %w", component, err)
				}
			}
			return check()
		}); err != nil {
			t.Fatalf("%s: %v", phase.name, err)
		}
	}
}

// within waits until try returns nil, at most as long as patience.
func (w *world) within(try func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := try()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(poll)
	}
}

// naming returns the type of a condition whose message names a permission; empty while there is none. Of a role that may not be bound
// it names what the role grants.
func (w *world) naming(p permission) string {
	if p.verb == "bind" {
		p = aggregated
	}
	pipeline, err := w.Pipeline()
	if err != nil {
		return ""
	}
	for _, condition := range pipeline.Status.Conditions {
		words := strings.FieldsFunc(condition.Message, func(r rune) bool { return strings.ContainsRune(" \"'[](){},:;", r) })
		names := slices.Contains(words, p.verb) && slices.ContainsFunc(words, func(word string) bool {
			return word == p.resource || word == p.resource+"."+p.group || word == p.nonResourceURL
		})
		if names && (p.namespace == "" || strings.Contains(condition.Message, p.namespace)) && condition.Status != metav1.ConditionTrue {
			return condition.Type
		}
	}
	return ""
}

// deployed returns an error while a component has no Deployment.
func (w *world) deployed(component string) error {
	deployments, err := w.managed(func(object *unstructured.Unstructured) bool {
		return object.GetKind() == "Deployment" && object.GetName() == component
	})
	if err == nil && len(deployments) == 0 {
		err = errors.New("it has no Deployment")
	}
	return err
}

// readyz returns an error while the operator does not say that it is ready.
func (w *world) readyz() error {
	request, err := http.NewRequestWithContext(w.Ctx, http.MethodGet, "http://"+w.address+"/readyz", http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		err = fmt.Errorf("readyz answers %s", response.Status)
	}
	return errors.Join(err, response.Body.Close())
}

// annotated makes an annotated app of each kind, and notAnnotated removes them.
func (w *world) annotated() error {
	var errs []error
	for _, app := range annotatedApps() {
		errs = append(errs, client.IgnoreAlreadyExists(w.Client.Create(w.Ctx, app)))
	}
	return errors.Join(errs...)
}

func (w *world) notAnnotated() error {
	var errs []error
	for _, app := range annotatedApps() {
		errs = append(errs, client.IgnoreNotFound(w.Client.Delete(w.Ctx, app, client.GracePeriodSeconds(0))))
	}
	return errors.Join(errs...)
}

// annotatedApps are a Service, and a Pod without one.
func annotatedApps() []client.Object {
	annotated := metav1.ObjectMeta{Namespace: appsNamespace, Name: "app", Annotations: map[string]string{
		"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}, Labels: map[string]string{"app": "app"}}
	service := &corev1.Service{ObjectMeta: annotated, Spec: corev1.ServiceSpec{
		Selector: map[string]string{"app": "app"}, Ports: []corev1.ServicePort{{Name: "http", Port: 8080}}}}
	pod := &corev1.Pod{ObjectMeta: annotated, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}}}
	pod.Name = "lone"
	return []client.Object{service, pod}
}
