// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package promconfig compares the scrape configurations that the operator writes with those of prometheus-operator: both are read by
// Prometheus' own code, discover the same objects, and have to come to the same targets. The tests of internal/scrape/promconfig write
// what is compared, and fail when it is another than that of the last proof.
package promconfig

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/config"
	"gopkg.in/yaml.v2"
)

var update = flag.Bool("update", false, "write the proof anew")

const (
	// corpus is the environment variable with the folder of what is compared.
	corpus = "PROMCONFIG_CORPUS"
	proof  = "../../internal/scrape/promconfig/testdata/proof.txt"
	// global is what both configurations are read under.
	global = "global:\n  scrape_interval: 30s\n"
)

func read(t *testing.T, name string) string {
	t.Helper()
	folder := os.Getenv(corpus)
	if folder == "" {
		t.Fatalf("the environment variable %s is not set: run make test-promconfig", corpus)
	}
	text, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// theirs returns the scrape configurations that prometheus-operator makes of the monitors, by job.
func theirs(t *testing.T) map[string]*config.ScrapeConfig {
	t.Helper()
	return load(t, read(t, "prometheus.yaml"))
}

// load reads a configuration as Prometheus does.
func load(t *testing.T, text string) map[string]*config.ScrapeConfig {
	t.Helper()
	read, err := config.Load(text, promslog.NewNopLogger())
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	all, err := read.GetScrapeConfigs()
	must(t, err)
	jobs := map[string]*config.ScrapeConfig{}
	for _, job := range all {
		jobs[job.JobName] = job
	}
	return jobs
}

// TestFields compares the fields of the jobs, but for the relabelings and where the credential is: ours stays in its file.
func TestFields(t *testing.T) {
	want, got := theirs(t), load(t, global+read(t, "scrape_configs.yaml"))
	if len(want) != len(got) || len(want) < 40 {
		t.Errorf("%d jobs, want %d", len(got), len(want))
	}
	credentials := 0
	for name, job := range want {
		our := got[name]
		if our == nil {
			t.Errorf("no job %s", name)
			continue
		}
		if authorization := job.HTTPClientConfig.Authorization; authorization != nil {
			credentials++
			if authorization.Credentials != "secret" || our.HTTPClientConfig.Authorization.CredentialsFile == "" {
				t.Errorf("%s: credentials %+v, ours %+v", name, authorization, our.HTTPClientConfig.Authorization)
			}
		}
		if diff := cmp.Diff(fields(t, job), fields(t, our)); diff != "" {
			t.Errorf("%s (-prometheus-operator +ours):\n%s", name, diff)
		}
	}
	if credentials == 0 {
		t.Error("no job has credentials")
	}
}

func fields(t *testing.T, job *config.ScrapeConfig) string {
	t.Helper()
	kept := *job
	kept.RelabelConfigs = nil
	if authorization := kept.HTTPClientConfig.Authorization; authorization != nil {
		without := *authorization
		without.Credentials, without.CredentialsFile = "", ""
		kept.HTTPClientConfig.Authorization = &without
	}
	text, err := yaml.Marshal(kept)
	must(t, err)
	return string(text)
}

// TestProof: that they are of this corpus is what the tests of internal/scrape/promconfig compare.
func TestProof(t *testing.T) {
	text := ""
	for _, name := range []string{"monitors.yaml", "scrape_configs.yaml"} {
		text += fmt.Sprintf("%x %s\n", sha256.Sum256([]byte(read(t, name))), name)
	}
	if *update {
		must(t, os.WriteFile(proof, []byte(text), 0o600))
	}
	stored, err := os.ReadFile(proof)
	must(t, err)
	if diff := cmp.Diff(string(stored), text); diff != "" {
		t.Errorf("%s is of another corpus; run make test-promconfig GOTESTFLAGS=-update (-stored +now):\n%s", proof, diff)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
