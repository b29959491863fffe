// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// monitored is what the tests take for the operator's monitors.
func monitored(pool Pool) bool { return strings.HasPrefix(pool.Monitor, "annotated") }

// one returns a target as the API of Prometheus 3.5 gives it.
func one(pool, labels, health, because string) string {
	return fmt.Sprintf(`{"discoveredLabels":{"__address__":"10.88.0.12:8080","__meta_kubernetes_service_annotation_prometheus_io_scrape":"true"},
		"labels":{%s},"scrapePool":%q,"scrapeUrl":"http://10.88.0.12:8080/metrics","globalUrl":"http://10.88.0.12:8080/metrics",
		"lastError":%q,"lastScrape":"2026-11-27T05:00:00.1Z","lastScrapeDuration":0.002,"health":%q,"scrapeInterval":"30s","scrapeTimeout":"10s"}`,
		labels, pool, because, health)
}

func targetsAnswer(targets ...string) string {
	return `{"status":"success","data":{"activeTargets":[` + strings.Join(targets, ",") +
		`],"droppedTargets":[{"discoveredLabels":{"a":["b",{}]}}],"droppedTargetCounts":{"serviceMonitor/shop/annotated/0":3}}}`
}

const (
	shopPool = "serviceMonitor/shop/annotated/0"
	bankPool = "podMonitor/bank/annotated-x/1"
	refused  = `Get "http://10.88.0.12:8080/metrics": dial tcp 10.88.0.12:8080: connect: connection refused`
)

func ofShop(service string) string {
	return fmt.Sprintf(`"namespace":"shop","service":%q,"pod":"pod-of-it","job":"shop/it"`, service)
}

func TestReadTargets(t *testing.T) {
	answer := targetsAnswer(
		one(shopPool, ofShop("web"), "up", ""),
		one(shopPool, ofShop("web"), "down", refused),
		one(shopPool, ofShop("web"), "down", "EOF"),
		one(shopPool, ofShop("api"), "unknown", ""),
		one(bankPool, `"namespace":"forged","pod":"ledger-0"`, "down", "server returned HTTP status 404 Not Found"),
		one("serviceMonitor/shop/theirs/0", ofShop("web"), "down", refused),
		one("kubelet", ofShop("web"), "down", refused))
	got, err := readTargets(strings.NewReader(answer), monitored)
	want := map[string]*NamespaceTargets{
		// Of several errors the first by the alphabet, whichever target was scraped last.
		"shop": {Up: 1, Down: 2, Pending: 1, DownTotal: 1, DownApps: []DownApp{{"Service", "web", "EOF"}}},
		// The namespace is that of the monitor, whatever the labels say.
		"bank": {Down: 1, DownTotal: 1, DownApps: []DownApp{{"Pod", "ledger-0", "server returned HTTP status 404 Not Found"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for name, answer := range map[string]string{
		"no list":       `{"status":"success","data":{}}`,
		"another form":  `{"status":"success","data":{"activeTargets":{}}}`,
		"no object":     `[]`,
		"a web page":    `<html>`,
		"it ends early": answer[:len(answer)/2],
	} {
		if got, err := readTargets(strings.NewReader(answer), monitored); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestTargetsAreBounded: what is kept of an answer has a bound, whatever users write.
func TestTargetsAreBounded(t *testing.T) {
	huge := strings.Repeat("ä", 100<<10)
	var all []string
	for i := range 50 {
		all = append(all, one(shopPool, ofShop(fmt.Sprintf("web-%02d", i)), "down", huge))
	}
	all = append(all, one(shopPool, ofShop(huge), "down", ""))
	got, err := readTargets(strings.NewReader(targetsAnswer(all...)), monitored)
	if err != nil {
		t.Fatal(err)
	}
	shop := got["shop"]
	if shop.Down != 51 || shop.DownTotal != 51 || len(shop.DownApps) != mostDown || shop.DownApps[0].Name != "web-00" {
		t.Errorf("down %d, apps %d, listed %d, first %.20q", shop.Down, shop.DownTotal, len(shop.DownApps), shop.DownApps[0].Name)
	}
	for _, app := range shop.DownApps {
		if len(app.Name) > longestName || len(app.Error) > longestError {
			t.Errorf("kept %d and %d bytes", len(app.Name), len(app.Error))
		}
	}
}

// answersBy are those of an HTTP server, by path.
type answersBy map[string]string

func (a answersBy) serve(t *testing.T) (base string, asked *[]string) {
	t.Helper()
	asked = &[]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.URL.Path)
		answer, found := a[r.URL.Path]
		switch {
		case !found:
			http.NotFound(w, r)
			return
		case answer == "":
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(answer)) // What breaks off fails the test.
	}))
	t.Cleanup(server.Close)
	return server.URL, asked
}

const seriesAnswer = `{"status":"success","data":{"resultType":"vector","result":[
	{"metric":{"namespace":"shop","up":"1"},"value":[1,"4"]},
	{"metric":{"namespace":"shop","up":"0"},"value":[1,"2"]},
	{"metric":{"__name__":"up","namespace":"shop","service":"web","job":"shop/web","pod":"web-1"},"value":[1,"0"]},
	{"metric":{"__name__":"up","namespace":"shop","service":"web","job":"shop/web","pod":"web-2"},"value":[1,"0"]},
	{"metric":{"__name__":"up","namespace":"bank","pod":"ledger-0","job":"bank/ledger"},"value":[1,"0"]}]}}`

// TestSurvey: whom it asks, what it makes of the answer, and where it falls back to series.
func TestSurvey(t *testing.T) {
	const targets, pools, query = "/api/v1/targets", "/api/v1/scrape_pools", "/api/v1/query"
	full := targetsAnswer(one(shopPool, ofShop("web"), "up", ""))
	shop := map[string]*NamespaceTargets{"shop": {Up: 1}}
	bySeries := map[string]*NamespaceTargets{
		"shop": {Up: 4, Down: 2, DownTotal: 1, DownApps: []DownApp{{Kind: "Service", Name: "web"}}},
		"bank": {DownTotal: 1, DownApps: []DownApp{{Kind: "Pod", Name: "ledger-0"}}}}
	const k8s, given = "Prometheus monitoring/k8s", "spec.prometheus.url"
	for name, tc := range map[string]struct {
		// scraper and store are the answers of who scrapes and of the URL; nil for none of it.
		scraper, store answersBy
		target         Target
		expected       []string
		roughly        bool
		want           *Scraped
		says           string
		// asked are the paths at who scrapes, then those at the URL.
		asked []string
	}{
		"a Prometheus object": {scraper: answersBy{targets: full}, target: Target{Object: k8s, Origin: k8s}, expected: []string{"shop"},
			want: &Scraped{Source: k8s, Namespaces: shop}, asked: []string{targets}},
		"a namespace without a target": {scraper: answersBy{targets: full, pools: `{"status":"success","data":{"scrapePools":["` + shopPool + `","` + bankPool + `","kubelet"]}}`},
			target: Target{Object: k8s, Origin: k8s}, expected: []string{"shop", "bank", "more"},
			want:  &Scraped{Source: k8s, Namespaces: shop, Loaded: map[string]bool{"shop": true, "bank": true}},
			asked: []string{targets, pools}},
		"an old Prometheus, and a namespace without a target": {scraper: answersBy{targets: full}, target: Target{Object: k8s, Origin: k8s},
			expected: []string{"bank"}, want: &Scraped{Source: k8s, Namespaces: shop}, asked: []string{targets, pools}},
		"an object and a URL": {scraper: answersBy{targets: full}, store: answersBy{query: seriesAnswer}, expected: []string{"shop"},
			target: Target{Object: k8s, Origin: given, Given: true}, want: &Scraped{Source: k8s, Namespaces: shop}, asked: []string{targets}},
		"an object that is not reached, and a URL": {scraper: answersBy{}, store: answersBy{query: seriesAnswer}, expected: []string{"shop"},
			target: Target{Object: k8s, Origin: given, Given: true}, want: &Scraped{Source: given, Namespaces: bySeries, Roughly: true, Lasting: true},
			asked: []string{targets, query}},
		"a URL that is a Prometheus": {store: answersBy{targets: full}, target: Target{Origin: given, Given: true}, expected: []string{"shop"},
			want: &Scraped{Source: given, Namespaces: shop}, asked: []string{targets}},
		"a store without an API of targets": {store: answersBy{query: seriesAnswer}, target: Target{Origin: given, Given: true}, expected: []string{"shop"},
			want: &Scraped{Source: given, Namespaces: bySeries, Roughly: true, Lasting: true}, asked: []string{targets, query}},
		"a Thanos Query that is told no targets": {store: answersBy{targets: targetsAnswer(), query: seriesAnswer}, expected: []string{"shop"},
			target: Target{Origin: given, Given: true}, want: &Scraped{Source: given, Namespaces: bySeries, Roughly: true, Lasting: true}, asked: []string{targets, query}},
		"what has ended with series begins with them": {store: answersBy{targets: full, query: seriesAnswer}, roughly: true,
			target: Target{Origin: given, Given: true}, want: &Scraped{Source: given, Namespaces: bySeries, Roughly: true, Lasting: true}, asked: []string{query}},
		"an object that starts, and a URL": {scraper: answersBy{targets: ""}, store: answersBy{query: seriesAnswer}, expected: []string{"shop"},
			target: Target{Object: k8s, Origin: given, Given: true}, want: &Scraped{Source: given, Namespaces: bySeries, Roughly: true},
			asked: []string{targets, query}},
		"an object that is not reached": {scraper: answersBy{}, target: Target{Object: k8s, Origin: k8s}, says: "it answers 404 Not Found",
			asked: []string{targets}},
		"an agent alone": {scraper: answersBy{targets: full}, target: Target{Object: "PrometheusAgent monitoring/agent", Origin: "PrometheusAgent monitoring/agent"},
			want: &Scraped{Source: "PrometheusAgent monitoring/agent", Namespaces: shop}, asked: []string{targets}},
	} {
		t.Run(name, func(t *testing.T) {
			first, second := &[]string{}, &[]string{}
			if tc.scraper != nil {
				tc.target.TargetsURL, first = tc.scraper.serve(t)
				if !tc.target.Given && !strings.HasPrefix(tc.target.Object, "PrometheusAgent") {
					tc.target.URL = tc.target.TargetsURL
				}
			}
			if tc.store != nil {
				tc.target.URL, second = tc.store.serve(t)
			}
			got, err := Survey{Target: tc.target, Ours: monitored, Expected: tc.expected, Roughly: tc.roughly}.Do(t.Context())
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if (err != nil) != (tc.says != "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %v, want %q", err, tc.says)
			}
			if diff := cmp.Diff(tc.asked, append(*first, *second...)); diff != "" {
				t.Errorf("asked for (-want +got):\n%s", diff)
			}
		})
	}
}

// TestShardsAreNotAsked: each knows its own targets alone.
func TestShardsAreNotAsked(t *testing.T) {
	sharded := Target{Object: "Prometheus monitoring/k8s", Origin: "Prometheus monitoring/k8s", URL: "http://127.0.0.1:1", Shards: 3}
	_, err := Survey{Target: sharded, Ours: monitored}.Do(t.Context())
	if err == nil || !strings.Contains(err.Error(), "Prometheus monitoring/k8s has spec.shards 3") {
		t.Errorf("error %v", err)
	}
	base, asked := answersBy{"/api/v1/query": seriesAnswer}.serve(t)
	got, err := Survey{Target: sharded.behind(base), Ours: monitored}.Do(t.Context())
	if err != nil || !got.Roughly || len(*asked) != 1 {
		t.Errorf("%+v, %v, asked for %q", got, err, *asked)
	}
	onNodes := Target{Object: "PrometheusAgent monitoring/nodes", Origin: "PrometheusAgent monitoring/nodes", Shards: 1}
	if _, err := (Survey{Target: onNodes, Ours: monitored}).Do(t.Context()); err == nil || !strings.Contains(err.Error(), "set spec.prometheus.url") {
		t.Errorf("error %v", err)
	}
}

// TestCredentialsAreForTheURL: who scrapes is another, which the spec does not name as their receiver.
func TestCredentialsAreForTheURL(t *testing.T) {
	seen := map[string]string{}
	answering := func(name, answer string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen[name+r.URL.Path] = r.Header.Get("Authorization")
			if answer == "" {
				http.Error(w, "down", http.StatusServiceUnavailable)
				return
			}
			_, _ = w.Write([]byte(answer)) // What breaks off fails the test.
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	target := Target{Object: "Prometheus monitoring/k8s", Origin: "spec.prometheus.url", Given: true,
		TargetsURL: answering("scraper", ""), URL: answering("store", seriesAnswer)}
	if _, err := (Survey{Target: target, Access: Access{Token: []byte("secret")}, Ours: monitored}).Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"scraper/api/v1/targets": "", "store/api/v1/query": "Bearer secret"}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestSurveyEnds: neither a server that hangs nor one whose answer does not end keeps it.
func TestSurveyEnds(t *testing.T) {
	hangs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"data":{"activeTargets":[`))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(hangs.Close)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Survey{Target: Target{URL: hangs.URL, TargetsURL: hangs.URL, Object: "x"}, Ours: monitored}).Do(ctx); err == nil {
		t.Error("no error")
	}
	filler := strings.Repeat("x", 1<<20)
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/targets" {
			_, _ = w.Write([]byte(seriesAnswer))
			return
		}
		_, _ = w.Write([]byte(`{"data":{"activeTargets":[`))
		for {
			if _, err := fmt.Fprintf(w, `{"labels":{"a":%q}},`, filler); err != nil {
				return
			}
		}
	}))
	t.Cleanup(endless.Close)
	target := Target{URL: endless.URL, TargetsURL: endless.URL, Object: "Prometheus a/b", Origin: "Prometheus a/b"}
	got, err := Survey{Target: target, Ours: monitored}.Do(t.Context())
	if err != nil || !got.Roughly {
		t.Errorf("an answer that is too large: %+v, %v", got, err)
	}
}
