// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/managedprometheus"
	"github.com/metricspipeline/operator/internal/prometheus"
	"github.com/metricspipeline/operator/internal/scrape"
	"github.com/metricspipeline/operator/internal/scrape/promconfig"
)

// startedPrometheus is a Prometheus on loopback.
type startedPrometheus struct {
	process *os.Process
	address string
	stop    func()
}

// startPrometheus starts the program of the environment variable PROMETHEUS as the operator's Deployment would, until it is stopped.
func startPrometheus(ctx context.Context, folder string, namespaces []string, apps *servedApps) (*startedPrometheus, error) {
	program := os.Getenv("PROMETHEUS")
	if program == "" {
		return nil, errors.New("PROMETHEUS is not set: set it to $(bin/cluster binaries prometheus)/prometheus")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return nil, err
	}
	if err := writeManagedConfig(folder, address, namespaces, apps); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	command := exec.CommandContext(ctx, program, "--config.file="+filepath.Join(folder, "prometheus.yaml"),
		"--storage.tsdb.path="+filepath.Join(folder, "data"), "--storage.tsdb.retention.time=2h", "--storage.tsdb.retention.size=3072MB",
		"--web.listen-address="+address, "--log.level=warn")
	// As Prometheus sets it where a container has that limit.
	command.Env, command.Stderr = append(os.Environ(), fmt.Sprintf("GOMEMLIMIT=%d", p13Container/10*9)), os.Stderr
	if err := command.Start(); err != nil {
		cancel()
		return nil, err
	}
	started := &startedPrometheus{process: command.Process, address: address, stop: func() { cancel(); _ = command.Wait() }}
	return started, nil
}

// writeManagedConfig writes what the operator would, but for how the Prometheus is known to the API server and to its targets.
func writeManagedConfig(folder, address string, names []string, apps *servedApps) error {
	in := operand.Input{}
	in.Spec.Prometheus.Managed = &v1alpha1.ManagedPrometheusSpec{ScrapeInterval: v1alpha1.Duration(p13Interval.String())}
	in.Facts.Namespace = "bench-managed"
	in.Facts.Prometheus.Managed = prometheus.Managed{Namespace: in.Facts.Namespace, Plain: true}
	in.Facts.Prometheus.Token = cluster.Token{Value: "token", Hash: "hash"}
	proposal, err := managedprometheus.Operand{}.Plan(in)
	if err != nil {
		return err
	}
	var config map[string]any
	if err := yaml.Unmarshal([]byte(proposal.Component.Files["prometheus.yaml"]), &config); err != nil {
		return err
	}
	var jobs []any
	for _, each := range config["scrape_configs"].([]any) {
		job := each.(map[string]any)
		for _, field := range []string{"authorization", "basic_auth", "tls_config", "kubernetes_sd_configs", "relabel_configs"} {
			delete(job, field)
		}
		job["scheme"] = "http"
		targets := apps.kubelets()
		if job["job_name"] == managedprometheus.Name {
			targets = []string{address}
			delete(job, "metric_relabel_configs")
		}
		job["static_configs"] = []any{map[string]any{"targets": targets}}
		jobs = append(jobs, job)
	}
	config["scrape_configs"] = jobs
	config["scrape_config_files"] = []string{filepath.Join(folder, "scrape", "*.yaml")}
	text, err := yaml.Marshal(config)
	if err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(folder, "scrape"), 0o700); err != nil {
		return err
	}
	for _, name := range names {
		if err := writeScrapeConfig(filepath.Join(folder, "scrape", name+".yaml"), name); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(folder, "prometheus.yaml"), text, 0o600)
}

// writeScrapeConfig writes the scrape configuration of a namespace with annotated pods.
func writeScrapeConfig(path, namespace string) error {
	monitor := scrape.PodMonitor(namespace, "metricspipeline-annotated", scrape.Config{Prefix: "prometheus.io", Pods: true,
		SampleLimit: 50_000, BodySizeLimit: "32MB"})
	jobs, err := promconfig.OfPodMonitor(monitor, promconfig.NoFiles)
	if err != nil {
		return err
	}
	text, err := promconfig.Marshal(jobs)
	if err != nil {
		return err
	}
	discovery := "kubernetes_sd_configs:\n  - "
	known := strings.ReplaceAll(string(text), discovery, discovery+"kubeconfig_file: "+os.Getenv("KUBECONFIG")+"\n    ")
	return os.WriteFile(path, []byte(known), 0o600)
}

// value returns that of a query with one series; 0 where it has none.
func (p *startedPrometheus) value(ctx context.Context, query string) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet,
		"http://"+p.address+"/api/v1/query?query="+url.QueryEscape(query), http.NoBody)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil // It is starting.
	}
	defer response.Body.Close()
	var answer struct {
		Data struct {
			Result []struct {
				Value [2]any `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || len(answer.Data.Result) == 0 {
		return 0, nil // It is starting.
	}
	return strconv.ParseFloat(fmt.Sprint(answer.Data.Result[0].Value[1]), 64)
}

// servedApps are the metrics of a thousand pods and of ten kubelets, at every address of loopback.
type servedApps struct {
	*http.Server
	port int
}

func serveApps(series int) (*servedApps, error) {
	listener, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		return nil, err
	}
	apps := &servedApps{port: listener.Addr().(*net.TCPAddr).Port}
	started := time.Now()
	mux := http.NewServeMux()
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		elapsed := time.Since(started).Seconds()
		// A fifth are counters of requests, the others buckets of ten histograms.
		for i := range series / 5 {
			fmt.Fprintf(w, "http_requests_total{method=\"GET\",code=\"200\",handler=\"/api/v1/resource-%d\"} %.0f\n",
				i, elapsed*float64(i+1))
		}
		for i := range series - series/5 {
			fmt.Fprintf(w, "http_request_duration_seconds_bucket{handler=\"/api/v1/resource-%d\",le=\"%d\"} %.0f\n",
				i/16, i%16, elapsed*float64(i))
		}
	})
	mux.HandleFunc("/metrics/cadvisor", func(w http.ResponseWriter, r *http.Request) { writeContainers(w, r, time.Since(started)) })
	mux.HandleFunc("/metrics/resource", func(http.ResponseWriter, *http.Request) {})
	apps.Server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = apps.Serve(listener) }()
	return apps, nil
}

// kubelets are the addresses of those.
func (a *servedApps) kubelets() []string {
	var all []string
	for i := range p13Namespaces {
		all = append(all, fmt.Sprintf("127.2.0.%d:%d", i+1, a.port))
	}
	return all
}

// writeContainers writes what a kubelet has of its share of the pods: of each two containers and a network, as far as it is kept.
func writeContainers(w http.ResponseWriter, r *http.Request, elapsed time.Duration) {
	host, _, _ := net.SplitHostPort(r.Host)
	for i := range p13Pods / p13Namespaces {
		of := fmt.Sprintf("namespace=%q,pod=\"app-%d\"", host, i)
		for _, container := range []string{"app", "sidecar"} {
			for _, name := range []string{"cpu_usage_seconds_total", "cpu_cfs_periods_total", "cpu_cfs_throttled_periods_total",
				"memory_working_set_bytes", "memory_rss", "memory_usage_bytes", "fs_reads_bytes_total", "fs_writes_bytes_total"} {
				fmt.Fprintf(w, "container_%s{%s,container=%q,id=\"/kubepods/burstable/pod%d/%s\"} %.3f\n",
					name, of, container, i, container,
					elapsed.Seconds()*float64(i+1))
			}
		}
		for _, name := range []string{"network_receive_bytes_total", "network_transmit_bytes_total"} {
			fmt.Fprintf(w, "container_%s{%s,interface=\"eth0\",id=\"/kubepods/burstable/pod%d\"} %.0f\n",
				name, of, i, elapsed.Seconds()*1000)
		}
	}
}
