// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/prometheus"
	"github.com/metricspipeline/operator/internal/scrape/index"
)

const refusedConnection = `Get "http://10.88.0.12:8080/metrics": dial tcp 10.88.0.12:8080: connect: connection refused`

// scraper is a Prometheus that says of targets what a test lets it.
type scraper struct {
	// targets are NAMESPACE/SERVICE and the error, empty for one that is up; pools the namespaces whose monitors are loaded.
	targets map[string]string
	pools   []string
	// broken has it answer 503. asked counts the requests for targets.
	broken bool
	asked  int
}

func (p *scraper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.broken {
		http.Error(w, "starting", http.StatusServiceUnavailable)
		return
	}
	var items []string
	list := "scrapePools"
	if r.URL.Path == "/api/v1/targets" {
		list = "activeTargets"
		p.asked++
		for app, because := range p.targets {
			namespace, name, _ := strings.Cut(app, "/")
			health := "up"
			if because != "" {
				health = "down"
			}
			items = append(items, fmt.Sprintf(`{"scrapePool":"serviceMonitor/%s/metricspipeline-annotated/0","health":%q,"lastError":%q,
				"labels":{"namespace":%[1]q,"service":%[4]q}}`, namespace, health, because, name))
		}
	} else {
		for _, namespace := range p.pools {
			items = append(items, fmt.Sprintf(`"serviceMonitor/%s/metricspipeline-annotated/0"`, namespace))
		}
	}
	_, _ = fmt.Fprintf(w, `{"status":"success","data":{%q:[%s]}}`, list, strings.Join(items, ",")) // What breaks off fails the test.
}

// scraped returns a world with an annotated app in each of two namespaces, whose monitors are loaded, and the Prometheus that is asked.
func scraped(t *testing.T) (*world, *scraper) {
	t.Helper()
	w, p := working(t), &scraper{targets: map[string]string{"shop/web": "", "bank/ledger": ""}, pools: []string{"shop", "bank"}}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	w.serves(t, &listed{services: []corev1.Service{*service("shop", "web", annotated()), *service("bank", "ledger", annotated())}})
	w.reconcile(t, "shop", "bank")
	w.r.Ask(&Source{Target: prometheus.Target{TargetsURL: server.URL, URL: server.URL, Origin: "Prometheus monitoring/k8s",
		Object: "Prometheus monitoring/k8s"}})
	_, err := w.r.Reconcile(t.Context(), asking)
	must(t, err)
	return w, p
}

// later lets time pass, has Prometheus asked if that is due, and returns what the status says.
func (w *world) later(t *testing.T, after time.Duration) v1alpha1.ScrapeStatus {
	t.Helper()
	w.clock.SetTime(w.clock.Now().Add(after))
	for range 2 { // One begins the survey, the other takes its answer in.
		if _, err := w.r.Reconcile(t.Context(), asking); err != nil {
			t.Fatal(err)
		}
	}
	_, status := w.observe(t)
	return status
}

func expectTargets(t *testing.T, when string, status v1alpha1.ScrapeStatus, up, down int32, apps ...v1alpha1.DownApp) {
	t.Helper()
	if diff := cmp.Diff(&v1alpha1.TargetCounts{Up: up, Down: down}, status.Targets); diff != "" {
		t.Errorf("%s: targets (-want +got):\n%s", when, diff)
	}
	if diff := cmp.Diff(apps, status.Down); diff != "" || int(status.DownTotal) != len(apps) {
		t.Errorf("%s: of %d down (-want +got):\n%s", when, status.DownTotal, diff)
	}
}

// TestAnAppIsDown: a target that Prometheus does not reach is counted at once, and named, with its error and an Event, once that has
// lasted.
func TestAnAppIsDown(t *testing.T) {
	w, p := scraped(t)
	if status := w.later(t, time.Second); status.Targets != nil || p.asked != 0 {
		t.Errorf("at once: %+v, asked %d times", status.Targets, p.asked)
	}
	expectTargets(t, "at first", w.later(t, time.Minute), 2, 0)
	p.targets["shop/web"] = refusedConnection
	expectTargets(t, "it is down", w.later(t, 5*time.Minute), 1, 1)
	if len(w.fallen) != 0 {
		t.Errorf("Events %q while pods may be about to be replaced", w.fallen)
	}
	web := v1alpha1.DownApp{Kind: "Service", Namespace: "shop", Name: "web", Error: refusedConnection}
	expectTargets(t, "it stays down", w.later(t, time.Minute), 1, 1, web)
	said := []string{"Service shop/web: Prometheus monitoring/k8s cannot scrape it: " + refusedConnection}
	if diff := cmp.Diff(said, w.fallen); diff != "" {
		t.Errorf("Events (-want +got):\n%s", diff)
	}
	p.targets["shop/web"] = "context deadline exceeded"
	web.Error = "context deadline exceeded"
	expectTargets(t, "for another reason", w.later(t, time.Minute), 1, 1, web)
	if len(w.fallen) != 1 {
		t.Errorf("Events %q", w.fallen)
	}
	p.targets["shop/web"] = ""
	expectTargets(t, "it is repaired", w.later(t, time.Minute), 2, 0)
	p.targets["shop/web"] = refusedConnection
	w.later(t, 5*time.Minute)
	w.later(t, time.Minute)
	if len(w.fallen) != 2 {
		t.Errorf("Events once it is down again: %q", w.fallen)
	}
}

// TestPrometheusIsAskedRarely: at most once a minute, and a fifth of that while all is up and nothing changes.
func TestPrometheusIsAskedRarely(t *testing.T) {
	w, p := scraped(t)
	count := func(minutes int) int {
		before := p.asked
		for range minutes * 6 {
			w.later(t, 10*time.Second)
		}
		return p.asked - before
	}
	if first := count(1); first != 1 {
		t.Errorf("asked %d times in the first minute", first)
	}
	if rest := count(20); rest != 4 {
		t.Errorf("asked %d times in 20 minutes at rest", rest)
	}
	p.targets["shop/web"] = refusedConnection
	count(5)
	if down := count(10); down != 10 {
		t.Errorf("asked %d times in 10 minutes while an app is down", down)
	}
	p.targets["shop/web"] = ""
	count(1)
	must(t, w.services().Add(service("shop", "another", annotated())))
	w.observe(t)
	if soon := count(1); soon != 1 {
		t.Errorf("asked %d times in the minute after an app has come", soon)
	}
	p.broken = true
	count(5)
	if status := w.later(t, time.Minute); status.Targets == nil || !strings.Contains(status.Targets.Message, "503") {
		t.Errorf("a Prometheus that does not answer: %+v", status.Targets)
	}
}

// TestNobodyToAsk: what cannot be asked is said, and what is not to be asked is not.
func TestNobodyToAsk(t *testing.T) {
	w, p := scraped(t)
	w.later(t, time.Minute)
	w.r.Ask(&Source{Target: prometheus.Target{URL: "http://127.0.0.1:1"}, Problem: "there is no Secret x; create it"})
	if status := w.later(t, time.Minute); status.Targets == nil || status.Targets.Message != "The targets are not known: there is no Secret x; create it." {
		t.Errorf("%+v", status.Targets)
	}
	w.r.Ask(&Source{Target: prometheus.Target{URL: "http://127.0.0.1:1"}})
	if status := w.later(t, time.Second); status.Targets != nil {
		t.Errorf("the Secret is there, and nothing was asked yet: %+v", status.Targets)
	}
	w.r.Ask(nil)
	asked := p.asked
	if status := w.later(t, 10*time.Minute); status.Targets != nil || p.asked != asked {
		t.Errorf("%+v, asked %d times", status.Targets, p.asked-asked)
	}
}

// TestNothingIsSaidAgain: an operator that starts says what the status says until it has asked, and sends no Event for what it lists.
func TestNothingIsSaidAgain(t *testing.T) {
	w, p := scraped(t)
	before := &v1alpha1.MetricsPipeline{}
	must(t, w.client.Get(t.Context(), client.ObjectKey{Name: v1alpha1.SingletonName}, before))
	listed := v1alpha1.DownApp{Kind: "Service", Namespace: "shop", Name: "web", Error: refusedConnection}
	before.Status.Scrape = &v1alpha1.ScrapeStatus{Services: 2, Targets: &v1alpha1.TargetCounts{Up: 1, Down: 1},
		Down: []v1alpha1.DownApp{listed}, DownTotal: 1}
	must(t, w.client.Update(t.Context(), before))
	w.r.snapshot.Store(nil)
	p.targets["shop/web"] = refusedConnection
	p.targets["bank/ledger"] = refusedConnection
	expectTargets(t, "before it has asked", w.later(t, time.Second), 1, 1, listed)
	expectTargets(t, "when it has asked", w.later(t, time.Minute), 0, 2, listed)
	if len(w.fallen) != 0 {
		t.Errorf("Events %q", w.fallen)
	}
	ledger := v1alpha1.DownApp{Kind: "Service", Namespace: "bank", Name: "ledger", Error: refusedConnection}
	expectTargets(t, "once the other one lasts", w.later(t, time.Minute), 0, 2, ledger, listed)
	if len(w.fallen) != 1 || !strings.HasPrefix(w.fallen[0], "Service bank/ledger: ") {
		t.Errorf("Events %q", w.fallen)
	}
}

// TestPodsWithoutThePort: where no container has the port that an app names, Prometheus can have no target, and that is what is said.
func TestPodsWithoutThePort(t *testing.T) {
	named := service("bank", "ledger", annotated("port", "metrics"))
	for name, tc := range map[string]struct {
		service *corev1.Service
		pods    []metav1.PartialObjectMetadata
		ports   map[string][]string
		want    string
		reads   int
	}{
		"no container has it": {named, []metav1.PartialObjectMetadata{*labelled("ledger-0"), *labelled("ledger-1")}, nil,
			`Prometheus monitoring/k8s has no target in namespace bank: Service ledger is scraped at the port "metrics" of its Pods, and no ` +
				`container of Pod ledger-0 has a TCP port of that name; correct the name in one of the two.`, 2},
		"one has it": {named, []metav1.PartialObjectMetadata{*labelled("ledger-0"), *labelled("ledger-1")},
			map[string][]string{"ledger-1": {"", "metrics"}}, "it may not list what is there", 2},
		"a number": {service("bank", "ledger", annotated("port", "9090")), []metav1.PartialObjectMetadata{*labelled("ledger-0")}, nil,
			"it may not list what is there", 0},
		"a Pod of its own": {nil, []metav1.PartialObjectMetadata{*pod("bank", "job-0", annotated("port", "metrics"))}, nil,
			`Pod job-0 is scraped at the port "metrics" of its Pods`, 1},
		"a Pod that declares no port": {nil, []metav1.PartialObjectMetadata{*pod("bank", "job-0", annotated())},
			map[string][]string{"job-0": nil}, "Pod job-0 is annotated without a port, and its containers declare no TCP port", 1},
		"a Pod that declares one": {nil, []metav1.PartialObjectMetadata{*pod("bank", "job-0", annotated())}, nil,
			"it may not list what is there", 1},
	} {
		t.Run(name, func(t *testing.T) {
			w, p := scraped(t)
			listed, _ := w.r.pieces.(*listed)
			delete(p.targets, "bank/ledger")
			listed.services = []corev1.Service{*service("shop", "web", annotated())}
			if tc.service != nil {
				listed.services = append(listed.services, *tc.service)
				must(t, w.services().Update(tc.service))
			}
			listed.pods, listed.ports = tc.pods, tc.ports
			var status v1alpha1.ScrapeStatus
			for range 10 {
				status = w.later(t, time.Minute)
			}
			if len(status.NotScraped) != 1 || !strings.Contains(status.NotScraped[0].Message, tc.want) {
				t.Errorf("it says %+v, want %q", status.NotScraped, tc.want)
			}
			if listed.portReads != tc.reads {
				t.Errorf("%d Pods were read, want %d", listed.portReads, tc.reads)
			}
		})
	}
}

// labelled is a Pod behind the Service bank/ledger.
func labelled(name string) *metav1.PartialObjectMetadata {
	behind := pod("bank", name, nil)
	behind.Labels = map[string]string{"app": "ledger"}
	return behind
}

// TestANamespaceWithoutTargets: where Pods of annotated apps run and Prometheus has none of them, the status says so and what to do.
func TestANamespaceWithoutTargets(t *testing.T) {
	w, p := scraped(t)
	running := pod("bank", "ledger-0", nil)
	running.Labels = map[string]string{"app": "ledger"}
	listed, _ := w.r.pieces.(*listed)
	listed.pods = []metav1.PartialObjectMetadata{*running}
	delete(p.targets, "bank/ledger")
	p.pools = []string{"shop"}
	missing := func(after time.Duration, says ...string) {
		t.Helper()
		status := w.later(t, after)
		if len(status.NotScraped) != 1 || status.NotScraped[0].Namespace != "bank" || status.NotScraped[0].Reason != v1alpha1.ReasonNoTargets {
			t.Fatalf("after %s: %+v", after, status.NotScraped)
		}
		for _, part := range says {
			if !strings.Contains(status.NotScraped[0].Message, part) {
				t.Errorf("%q does not say %q", status.NotScraped[0].Message, part)
			}
		}
	}
	none := func(when string, after time.Duration) {
		t.Helper()
		for range int(after / time.Minute) {
			if status := w.later(t, time.Minute); len(status.NotScraped) != 0 {
				t.Errorf("%s: %+v", when, status.NotScraped)
			}
		}
	}
	none("while its monitor may not be loaded", 4*time.Minute)
	missing(time.Minute, "Prometheus monitoring/k8s has not loaded the monitors of namespace bank")
	if len(w.events) != 1 || !strings.HasPrefix(w.events[0], "bank: Prometheus monitoring/k8s has not loaded") {
		t.Errorf("Events %q", w.events)
	}

	// Once they are loaded, it need not be waited so long for targets.
	p.targets["bank/ledger"] = ""
	none("it has a target", time.Minute)
	delete(p.targets, "bank/ledger")
	p.pools = []string{"shop", "bank"}
	must(t, w.services().Add(service("shop", "another", annotated())))
	none("the target has only just gone", time.Minute)
	missing(time.Minute, "Prometheus monitoring/k8s has no target in namespace bank",
		"get, list and watch services, endpoints, endpointslices.discovery.k8s.io and pods")
	said := len(w.events)

	// After a start it is said until it is known to be otherwise, and no Event is sent again.
	w.remember(t)
	missing(time.Second, "has no target in namespace bank")
	missing(time.Minute, "has no target in namespace bank")
	if len(w.events) != said {
		t.Errorf("Events %q", w.events)
	}
	p.targets["bank/ledger"] = ""
	none("it has a target", time.Minute)

	// Without a Pod that runs there is nothing to scrape.
	delete(p.targets, "bank/ledger")
	listed.pods, listed.lists = nil, 0
	must(t, w.services().Add(service("bank", "another", annotated())))
	none("nothing runs", time.Hour)
	if listed.lists != mostLists {
		t.Errorf("its Pods were listed %d times in an hour", listed.lists)
	}
	if w.r.index.Reference("Service", "bank", "ledger") == nil || w.r.index.Reference("Pod", "bank", "ledger") != nil {
		t.Error("the index names another app")
	}
	if index.Service.Object() != "Service" {
		t.Error("the kind of a Service")
	}
}

// remember writes the last snapshot into the status and has the reconciler forget what it knows of targets, as after a start.
func (w *world) remember(t *testing.T) {
	t.Helper()
	stored := &v1alpha1.MetricsPipeline{}
	must(t, w.client.Get(t.Context(), client.ObjectKey{Name: v1alpha1.SingletonName}, stored))
	stored.Status.Scrape = w.r.Snapshot().Status.DeepCopy()
	must(t, w.client.Update(t.Context(), stored))
	w.r.asked = asked{}
	w.r.snapshot.Store(nil)
}
