// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"cmp"
	"encoding/json"
	"slices"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/internal/scrape/promconfig"
)

// allFiles is for a Prometheus that has each key in a file.
func allFiles(key promconfig.Reference) (string, bool) {
	return "/etc/" + key.Name + "/" + key.Key, true
}

// written are the jobs whose text was read: nearly all are the same, and to read it takes most of the time of a fuzz run.
var written sync.Map

// plain returns the jobs of a monitor as Prometheus reads them from their text, which must not say anything else.
func plain(t *testing.T, monitor any) []promconfig.Job {
	t.Helper()
	var jobs []promconfig.Job
	var err error
	switch monitor := monitor.(type) {
	case *monitoringv1.ServiceMonitor:
		jobs, err = promconfig.OfServiceMonitor(monitor, allFiles)
	case *monitoringv1.PodMonitor:
		jobs, err = promconfig.OfPodMonitor(monitor, allFiles)
	}
	if err != nil {
		t.Fatal(err)
	}
	meant, err := json.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	if _, known := written.LoadOrStore(string(meant), true); known {
		return jobs
	}
	text, err := promconfig.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	var read map[string][]promconfig.Job
	if err := yaml.UnmarshalStrict(text, &read); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if diff := gocmp.Diff(map[string][]promconfig.Job{"scrape_configs": jobs}, read); diff != "" {
		t.Errorf("the text says something else (-meant +read):\n%s", diff)
	}
	for _, job := range jobs {
		for _, discovery := range job.Discovery {
			if !slices.Equal(discovery.Namespaces.Names, []string{"apps"}) || len(job.Discovery) != 1 {
				t.Errorf("%s discovers %+v", job.Name, job.Discovery)
			}
		}
	}
	return jobs
}

// expectPlain demands that a job makes the same targets as an endpoint of a monitor.
func expectPlain(t *testing.T, want map[string]string, targets []labelSet, job promconfig.Job) {
	t.Helper()
	for _, target := range targets {
		target["__scheme__"], target["__metrics_path__"] = "http", "/metrics"
		target["job"] = job.Name
	}
	if diff := gocmp.Diff(want, relabeledTargets(t, targets, ofJob(job), job.Params)); diff != "" {
		t.Errorf("%s makes other targets than the monitor (-monitor +job):\n%s", job.Name, diff)
	}
}

// ofJob returns the relabelings of a job.
func ofJob(job promconfig.Job) []monitoringv1.RelabelConfig {
	var relabelings []monitoringv1.RelabelConfig
	for _, r := range job.Relabelings {
		relabelings = append(relabelings, monitoringv1.RelabelConfig{Action: cmp.Or(r.Action, "replace"), SourceLabels: sources(r.SourceLabels...), Regex: r.Regex,
			Separator: r.Separator, TargetLabel: r.TargetLabel, Replacement: r.Replacement})
	}
	return relabelings
}
