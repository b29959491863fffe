// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/util/version"
)

// PartialAnswers returns that queries reach only a part of the series, and the remedy; empty where one server has them all. Each
// shard of a Prometheus is a server of its own, and the Service leads to a random one.
func (t Target) PartialAnswers() string {
	if t.Shards <= 1 || t.Given {
		return ""
	}
	return fmt.Sprintf("%s has spec.shards %d, and each shard has a part of the series: a query reaches one of them, so metrics are "+
		"missing or differ between two queries. Set spec.prometheus.url to an endpoint that sees every shard, such as a Thanos Query, "+
		"beside spec.prometheus.ref.", t.Object, t.Shards)
}

// TakenForWhole says that a URL is taken to answer for every shard of who scrapes; empty where there are none.
func (t Target) TakenForWhole() string {
	if t.Shards <= 1 || !t.Given {
		return ""
	}
	return fmt.Sprintf("%s, which scrapes, has spec.shards %d; the URL has to answer for all of them.", t.Object, t.Shards)
}

// RejectedTimeout returns why prometheus-operator rejects every monitor with these spec.scrape.interval and scrapeTimeout, 0
// for one that is not set, and the remedy; empty where it accepts them or that is not known.
//
// In every version since v0.60 it demands that a monitor's scrapeTimeout is at most its interval or, without one, the
// Prometheus object's scrapeInterval. The Prometheus object's scrapeTimeout does not count.
func (t Target) RejectedTimeout(interval, scrapeTimeout time.Duration) string {
	if scrapeTimeout <= 0 {
		return ""
	}
	rejects := "prometheus-operator rejects every monitor"
	if t.ScrapeConfigs {
		rejects = "Prometheus refuses every scrape configuration"
	}
	if interval > 0 {
		if scrapeTimeout <= interval {
			return ""
		}
		return fmt.Sprintf("spec.scrape.scrapeTimeout is %[1]s, above spec.scrape.interval %[2]s, so %[3]s; lower "+
			"spec.scrape.scrapeTimeout to at most %[2]s, or raise spec.scrape.interval to at least %[1]s.",
			model.Duration(scrapeTimeout), model.Duration(interval), rejects)
	}
	if t.ScrapeInterval == 0 || scrapeTimeout <= t.ScrapeInterval {
		return ""
	}
	return fmt.Sprintf("spec.scrape.scrapeTimeout is %[1]s, above the scrapeInterval %[2]s of %[3]s, so %[4]s; lower "+
		"spec.scrape.scrapeTimeout to at most %[2]s, or set spec.scrape.interval to at least %[1]s.",
		model.Duration(scrapeTimeout), model.Duration(t.ScrapeInterval), t.Object, rejects)
}

// comparesLabels is the first version of Prometheus whose relabelings compare two labels (keepequal, dropequal).
var comparesLabels = version.MustParseGeneric("v2.41.0")

// RejectedRelabelings says why prometheus-operator rejects every monitor that compares labels, and the remedy; empty where it accepts
// them, or where the object states no version or none that can be read.
func (t Target) RejectedRelabelings() string {
	stated, err := version.ParseGeneric(t.Version)
	if err != nil || stated.AtLeast(comparesLabels) {
		return ""
	}
	return fmt.Sprintf("%s has the version %s, for which prometheus-operator rejects every monitor that compares labels; set its "+
		"spec.version to v%s or newer.", t.Object, t.Version, comparesLabels)
}
