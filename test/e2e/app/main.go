// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Command app is the application that the end-to-end tests and the demo scale. It exposes Prometheus metrics and makes
// its own load on request, so that nothing outside the pod has to reach into the cluster's network:
//
//	GET /work                          one unit of work, counted in http_requests_total
//	GET /load?rps=200                  from now on send itself this many requests for /work each second
//	GET /cpu?cores=0.5                 from now on keep this many cores busy
//	GET /memory?bytes=50000000         from now on keep this much memory in use
//	GET /fake_load?value=60            set fake_load
//	GET /queue?depth=40&queue=orders   set queue_depth
//	GET /redirect?to=URL               an answer 302 to that URL, as a hostile target gives it
//	GET /endless                       metrics without end, as a hostile target gives them
//	GET /healthz
//	GET /metrics and any other path    the metrics
//
// It listens on more ports if flags say so, on one of them with TLS. Each port has metrics of its own, as an application and its
// sidecar would.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func main() {
	port := flag.Int("port", 8080, "port to listen on")
	also := flag.String("also", "", "more ports, such as 9090,7777")
	tlsPort := flag.Int("tls-port", 0, "port to listen on with TLS and a self-signed certificate; 0 for none")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx, *port, *also, *tlsPort)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// run listens on every port until ctx ends or one of them fails.
func run(ctx context.Context, port int, also string, tlsPort int) error {
	ports := []int{port}
	for text := range strings.FieldsFuncSeq(also, func(r rune) bool { return r == ',' }) {
		number, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("-also=%q: %w", also, err)
		}
		ports = append(ports, number)
	}
	servers := make([]func(context.Context) error, 0, len(ports)+1)
	for _, number := range ports {
		servers = append(servers, func(ctx context.Context) error { return serve(ctx, number, nil) })
	}
	if tlsPort != 0 {
		certificate, err := selfSigned()
		if err != nil {
			return fmt.Errorf("make a certificate: %w", err)
		}
		config := &tls.Config{Certificates: []tls.Certificate{certificate}}
		servers = append(servers, func(ctx context.Context) error { return serve(ctx, tlsPort, config) })
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, len(servers))
	for _, server := range servers {
		go func() {
			defer cancel() // Without one of its ports, the application does not do what its flags say.
			ended <- server(ctx)
		}()
	}
	var all error
	for range servers {
		all = errors.Join(all, <-ended)
	}
	return all
}

// serve answers on port, with TLS if it has a configuration, until ctx ends, then lets the requests under way finish.
func serve(ctx context.Context, port int, config *tls.Config) error {
	server := &http.Server{
		Addr:              fmt.Sprintf(":%d", port),
		Handler:           handler(ctx, fmt.Sprintf("http://127.0.0.1:%d/work", port)),
		TLSConfig:         config,
		ReadHeaderTimeout: 5 * time.Second,
	}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		stopped <- server.Shutdown(grace)
	}()
	listen := server.ListenAndServe
	if config != nil {
		listen = func() error { return server.ListenAndServeTLS("", "") }
	}
	if err := listen(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("listen on port %d: %w", port, err)
	}
	return <-stopped
}

// handler routes the requests. work is the URL that load is sent to.
func handler(ctx context.Context, work string) http.Handler {
	registry := prometheus.NewRegistry()
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "http_requests_total",
		Help: "Requests for work, by method and status code.",
	}, []string{"method", "code"})
	queue := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "queue_depth",
		Help: "Messages that wait in a queue.",
	}, []string{"queue"})
	fake := prometheus.NewGauge(prometheus.GaugeOpts{Name: "fake_load", Help: "A load that is no more than a number."})
	registry.MustRegister(requests, queue, fake)
	// A series that starts at zero is there before the first request: rate() needs two samples of it, and a metric that
	// does not exist yet is not the same as one that is zero.
	requests.WithLabelValues("get", "200")
	queue.WithLabelValues("orders")

	load, cpu, memory := newKnob(ctx, sendRequests(work)), newKnob(ctx, burn), &ballast{}
	mux := http.NewServeMux()
	mux.Handle("GET /", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}))
	mux.HandleFunc("GET /redirect", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusFound)
	})
	mux.HandleFunc("GET /endless", endless)
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("GET /work", promhttp.InstrumentHandlerCounter(requests, http.HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "done") })))
	mux.HandleFunc("GET /load", number("rps", 5000, load.set))
	mux.HandleFunc("GET /cpu", number("cores", 16, cpu.set))
	mux.HandleFunc("GET /memory", number("bytes", 1<<30, memory.hold))
	mux.HandleFunc("GET /fake_load", number("value", 1e9, fake.Set))
	mux.HandleFunc("GET /queue", func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Query().Get("queue")
		if name == "" {
			name = "orders"
		}
		number("depth", 1e9, queue.WithLabelValues(name).Set)(w, r)
	})
	return mux
}

// number hands the query parameter of that name, 0 to limit, to set.
func number(name string, limit float64, set func(float64)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		value, err := strconv.ParseFloat(r.URL.Query().Get(name), 64)
		// Written so that NaN, which compares false with everything, is refused too.
		if err != nil || !(value >= 0 && value <= limit) {
			http.Error(w, fmt.Sprintf("%s=%q: give a number from 0 to %g", name, r.URL.Query().Get(name), limit),
				http.StatusBadRequest)
			return
		}
		set(value)
		fmt.Fprintf(w, "%s is now %g\n", name, value)
	}
}

// endless writes metrics until the client has had enough.
func endless(w http.ResponseWriter, r *http.Request) {
	line := []byte("endless_total{text=\"" + strings.Repeat("x", 1000) + "\"} 1\n")
	for r.Context().Err() == nil {
		if _, err := w.Write(line); err != nil {
			return
		}
	}
}
