// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// Survey asks for the targets of the operator's monitors.
type Survey struct {
	Target Target
	// Access is how Target.URL is queried.
	Access Access
	// Ours is true for the scrape pools of the operator's monitors.
	Ours func(Pool) bool
	// Expected are namespaces with apps. Where one of them has no target, it is asked as well whose monitors are loaded.
	Expected []string
	// Roughly asks for series at once, where the last survey says so.
	Roughly bool
}

// mostUp is how many bytes are read of an answer about series: two counts for each namespace, and what is down.
const mostUp = 8 << 20

// oursByLabels selects the series up of the operator's monitors: the job is NAMESPACE/NAME, and the endpoint the number of a port.
const oursByLabels = `up{endpoint=~"[0-9]+",job=~".+/.+"}`

// Do asks who scrapes for its targets, by one request as a rule. Where that cannot be asked, or its answer is too large, it asks who
// answers queries for the series up. The error is why neither is known; its text is the same with every try.
func (s Survey) Do(ctx context.Context) (*Scraped, error) {
	var err error
	if base := s.targetsURL(); base != "" && !s.Roughly {
		var scraped *Scraped
		if scraped, err = s.targets(ctx, base); err == nil {
			return scraped, nil
		}
	}
	switch {
	case s.Target.URL == "" && err == nil:
		return nil, fmt.Errorf("%s can be asked for its targets by none of its pods alone; set spec.prometheus.url to the store that it "+
			"writes to", s.Target.Object)
	case s.Target.URL == "":
		return nil, err
	case s.Target.PartialAnswers() != "":
		return nil, fmt.Errorf("%s has spec.shards %d, and each shard knows its own targets alone; set spec.prometheus.url to an endpoint "+
			"that sees every shard", s.Target.Object, s.Target.Shards)
	case err != nil && !s.Target.Given && !errors.Is(err, errTooLarge):
		return nil, err // A query would meet the same.
	}
	scraped, seriesErr := s.series(ctx)
	if seriesErr == nil {
		scraped.Lasting = s.Roughly || lasting(err)
	}
	return scraped, seriesErr
}

// lasting is true for an error that stays as long as who is asked stays the same.
func lasting(err error) bool {
	var unusable *UnusableError
	return errors.Is(err, errTooLarge) || errors.Is(err, errNoList) || errors.As(err, &unusable) && unusable.Cause == NotPrometheus
}

// targetsURL is where targets are asked for: at who scrapes, or where that is not known, at the URL, which may be a Prometheus.
func (s Survey) targetsURL() string {
	if s.Target.TargetsURL == "" && s.Target.Object == "" {
		return s.Target.URL
	}
	return s.Target.TargetsURL
}

// source names whom a base leads to. The credentials of spec.prometheus are for its URL alone; the authority of certificates is none.
func (s Survey) source(base string) (string, Access) {
	if base == s.Target.URL {
		return s.Target.Origin, s.Access
	}
	return s.Target.Object, Access{CA: s.Access.CA}
}

// errTooLarge means that an answer is larger than what is read of it.
var errTooLarge = errors.New("the answer is too large")

func (s Survey) targets(ctx context.Context, base string) (*Scraped, error) {
	scraped := &Scraped{}
	name, access := s.source(base)
	scraped.Source = name
	err := get(ctx, base, "/api/v1/targets", url.Values{"state": {"active"}}, access, func(answer io.Reader) error {
		var err error
		scraped.Namespaces, err = readTargets(answer, s.Ours)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(scraped.Namespaces) == 0 && s.Target.Object == "" && len(s.Expected) > 0 {
		return nil, errNoList // A Thanos Query answers with no target where nothing behind it tells it any.
	}
	for _, namespace := range s.Expected {
		if scraped.Namespaces[namespace] != nil {
			continue
		}
		// What cannot be asked, as of a Prometheus before 2.42, stays unknown.
		_ = get(ctx, base, "/api/v1/scrape_pools", nil, access, func(answer io.Reader) error {
			loaded, err := readPools(answer, s.Ours)
			if err == nil {
				scraped.Loaded = loaded
			}
			return err
		})
		break
	}
	return scraped, nil
}

// get reads the answer of an API piece by piece, which the client of Prometheus cannot: an answer may be large.
func get(ctx context.Context, base, path string, parameters url.Values, access Access, read func(io.Reader) error) error {
	transport, err := access.transport(mostTargets)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	said, seen := answers{field: fieldURL, base: base, access: access}, &exchange{}
	request, err := http.NewRequestWithContext(seen.traced(ctx), http.MethodGet,
		strings.TrimSuffix(base, "/")+path+"?"+parameters.Encode(), nil)
	if err != nil {
		return said.notPrometheus(0)
	}
	response, err := client.Do(request)
	if err != nil {
		return said.unanswered(seen, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		page, _ := io.ReadAll(io.LimitReader(response.Body, mostBody)) // What cannot be read says nothing.
		if refused := said.refused(response, page); refused != nil {
			return refused
		}
		return said.because(Unreachable, response.StatusCode, "it answers %s to %s", response.Status, path)
	}
	err = read(response.Body)
	var (
		tooLarge *http.MaxBytesError
		network  net.Error
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &tooLarge):
		return fmt.Errorf("query %s: %w: %s has more than %d MiB", base, errTooLarge, path, mostTargets>>20)
	case errors.As(err, &network), errors.Is(err, context.DeadlineExceeded), errors.Is(err, io.ErrUnexpectedEOF):
		return said.unanswered(seen, err)
	default:
		return said.notPrometheus(response.StatusCode)
	}
}

// series asks for the targets of which there are series, in one query: how many are up and down by app, and some that are down.
func (s Survey) series(ctx context.Context) (*Scraped, error) {
	client, err := NewClient(s.Target.URL, s.Access, mostUp)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	query := fmt.Sprintf(`count_values by (namespace) ("up", %[1]s) or topk by (namespace) (%[2]d, %[1]s == 0)`, oursByLabels, mostDown)
	value, _, err := client.Query(ctx, query, time.Now())
	if err != nil {
		return nil, client.Unusable(err)
	}
	vector, ok := value.(model.Vector)
	if !ok {
		return nil, fmt.Errorf("query %s: the answer is no vector", s.Target.URL)
	}
	return &Scraped{Namespaces: ofSeries(vector), Source: s.Target.Origin, Roughly: true}, nil
}

// ofSeries reads the answer: samples with the label up are counts, the others targets that are down.
func ofSeries(vector model.Vector) map[string]*NamespaceTargets {
	t := newTally(nil)
	for _, sample := range vector {
		namespace := string(sample.Metric["namespace"])
		switch sample.Metric["up"] {
		case "1":
			t.of(namespace).Up += int(sample.Value)
		case "0":
			t.of(namespace).Down += int(sample.Value)
		case "":
			if service := string(sample.Metric["service"]); service != "" {
				t.isDown(namespace, kindService, service, "")
			} else {
				t.isDown(namespace, kindPod, string(sample.Metric["pod"]), "")
			}
		}
	}
	return t.result()
}
