// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// mostPodTargets is how many targets of a scrape pool are kept.
const mostPodTargets = 300

// PodTarget is a target of a pod, as who scrapes sees it.
type PodTarget struct {
	// Pod is the label of that name, and URL what is scraped.
	Pod, URL string
	// Down is true where the last scrape failed, and Error says why.
	Down  bool
	Error string
}

// Pools returns the names of the scrape pools of a monitor, of which each endpoint has one. The kind is ServiceMonitor or PodMonitor.
func Pools(kind, namespace, name string, endpoints int) []string {
	prefix := map[string]string{"ServiceMonitor": "serviceMonitor", "PodMonitor": "podMonitor"}[kind]
	var pools []string
	for i := range endpoints {
		pools = append(pools, fmt.Sprintf("%s/%s/%s/%s", prefix, namespace, name, strconv.Itoa(i)))
	}
	return pools
}

var errNoScraper = errors.New("who scrapes cannot be asked for its targets")

// PodTargets asks who scrapes for the targets of one scrape pool, by one request. What is kept of the answer has a bound.
func PodTargets(ctx context.Context, of Target, access Access, pool string) ([]PodTarget, error) {
	survey := Survey{Target: of, Access: access}
	base := survey.targetsURL()
	if base == "" {
		return nil, errNoScraper
	}
	_, access = survey.source(base)
	var found []PodTarget
	err := get(ctx, base, targetsPath, targetsOf(pool), access, func(answer io.Reader) (err error) {
		found, err = readPodTargets(answer, pool)
		return err
	})
	return found, err
}

// PodTargets asks for the targets of one scrape pool, as the function of this name does. Only who scrapes knows them.
func (c *Client) PodTargets(ctx context.Context, pool string) ([]PodTarget, error) {
	at := c.caller.URL(targetsPath, nil)
	at.RawQuery = targetsOf(pool).Encode()
	request, err := http.NewRequest(http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask for the targets of %s: %w", pool, err)
	}
	response, body, err := c.caller.Do(ctx, request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask for the targets of %s: %w: it answers %s", pool, errNoScraper, response.Status)
	}
	return readPodTargets(bytes.NewReader(body), pool)
}

const targetsPath = "/api/v1/targets"

func targetsOf(pool string) url.Values { return url.Values{"state": {"active"}, "scrapePool": {pool}} }

func readPodTargets(answer io.Reader, pool string) (found []PodTarget, err error) {
	err = readList(answer, "activeTargets", func(decoder *json.Decoder) error {
		var one struct {
			target
			URL string `json:"scrapeUrl"`
		}
		if err := decoder.Decode(&one); err != nil {
			return err //nolint:wrapcheck // readList says what was read
		}
		if one.Pool == pool && len(found) < mostPodTargets { // A Prometheus before 2.42 lists those of all pools.
			found = append(found, PodTarget{Pod: bounds(one.Labels.Pod, longestName), URL: bounds(one.URL, longestError),
				Down: one.Health == "down", Error: bounds(one.Error, longestError)})
		}
		return nil
	})
	return found, err
}
