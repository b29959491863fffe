// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// The scrape, the monitor and the app are looked at for what the pods expose themselves. They matter where there are no series; else
// they are only described.
var (
	scrapeStep = step{
		name: LinkScrape, needed: view.scraped, faults: []check{describedWithoutPods, samplesDropped, scrapeDown}, starved: notScraped,
		unseen: unknownTargets,
		known:  func(v view) bool { return v.metric.Scrape.Known && v.metric.Scrape.Up >= 0 },
		seen: func(v view) string {
			scrape := v.metric.Scrape
			all := scrape.Up + scrape.Down
			if !scrape.Known || scrape.Up < 0 || all <= 0 {
				return ""
			}
			return fmt.Sprintf("Prometheus has %s of the pods, of which %d %s up.", count(all, "target"), scrape.Up, are(scrape.Up))
		},
	}
	monitorStep = step{
		name: LinkMonitor, needed: view.scraped, faults: []check{monitorNotSelected}, starved: withoutMonitor, unseen: unknownScrape,
		seen: func(v view) string {
			if len(v.metric.Scrape.Monitors) == 0 {
				return ""
			}
			return "The pods are selected by " + names(v.metric.Scrape.Monitors) + "."
		},
	}
	appStep = step{
		name: LinkApp, needed: view.scraped, faults: []check{namespaceNotScraped, appRejected, appNotAnnotated}, unseen: unknownScrape,
		seen: func(v view) string {
			if len(v.metric.Scrape.Annotated) == 0 {
				return ""
			}
			return "Annotated: " + names(v.metric.Scrape.Annotated) + "."
		},
	}
)

// scraped is true where the series are to come from the pods of the target, or of the Service that the metric describes: those of an
// Ingress or a queue come from elsewhere. Of a target at 0 there are none, and what is to wake it comes from others.
func (v view) scraped() bool {
	scrape := v.metric.Scrape
	if !v.pipelines() || v.scaledToZero() && scrape.Of == "" || v.metric.FromController || !scrape.Known && v.unseenApp() == "" {
		return false
	}
	if v.spec.Object != nil {
		object, target := v.spec.Object.DescribedObject, v.HPA.Spec.ScaleTargetRef
		return CoreKind(object) == "Service" || CoreKind(object) == "Pod" || object.Kind == target.Kind && object.Name == target.Name
	}
	return v.spec.Pods != nil
}

// exposer is whose pods are to expose the metric.
func (v view) exposer() string {
	if v.metric.Scrape.Of != "" {
		return name(v.metric.Scrape.Of)
	}
	return v.target()
}

// unknownScrape is why monitors and annotations are not known either: targets alone may be out of sight.
func unknownScrape(v view) string {
	if v.metric.Scrape.Known {
		return ""
	}
	return v.unseenApp()
}

func (v view) unseenApp() string {
	return cmp.Or(v.metric.Scrape.Unseen, v.Unseen[LinkScrape], v.Unseen[LinkMonitor], v.Unseen[LinkApp])
}

// unknownTargets is that Prometheus was not asked for them, where it matters.
func unknownTargets(v view) string {
	if why := unknownScrape(v); why != "" || v.has() || v.metric.Scrape.Up >= 0 {
		return why
	}
	return "Prometheus was not asked for its targets."
}

// withoutTargets is true where Prometheus scrapes none of the pods, and there are no series of them.
func (v view) withoutTargets() bool { return !v.has() && v.metric.Scrape.Up <= 0 }

// describedWithoutPods is of the Service that a metric describes.
func describedWithoutPods(v view) *Finding {
	scrape := v.metric.Scrape
	if v.has() || scrape.NoPods == "" {
		return nil
	}
	return found(v1alpha1.AutoscalerNotScraped,
		fmt.Sprintf("Prometheus has no target of %s, because no pod that runs has the labels %s of its selector.", v.exposer(),
			quoted(scrape.NoPods)),
		fmt.Sprintf("Run a pod with these labels, or correct the selector of %s: without a pod nothing exposes the metric.", v.exposer()))
}

func samplesDropped(v view) *Finding {
	scrape := v.metric.Scrape
	if v.has() || scrape.Dropped == "" {
		return nil
	}
	return found(v1alpha1.AutoscalerSamplesDropped,
		fmt.Sprintf("Prometheus drops what it scrapes of the pods of %s: %s", v.exposer(), sentence(scrape.Dropped)),
		"Have the app expose less, or an administrator raises that limit in spec.scrape.limits of MetricsPipeline default.")
}

func scrapeDown(v view) *Finding {
	scrape := v.metric.Scrape
	if !v.withoutTargets() || scrape.Down <= 0 {
		return nil
	}
	says := ""
	if scrape.Error != "" {
		says = ": Prometheus says " + quoted(scrape.Error)
	}
	if scrape.Error != "" && scrape.URL != "" {
		says = ": Prometheus says of " + quoted(scrape.URL) + " " + quoted(scrape.Error)
	}
	return found(v1alpha1.AutoscalerScrapeDown,
		fmt.Sprintf("%s of the pods of %s %s down%s.", count(scrape.Down, "target"), v.exposer(), are(scrape.Down), says),
		v.correctScrape())
}

// correctScrape is the remedy for an error of Prometheus.
func (v view) correctScrape() string {
	scrape := v.metric.Scrape
	if len(scrape.Annotated) == 0 {
		return "Correct the port, path and scheme of " + orPods(scrape.Monitors) + " to where the app serves its metrics."
	}
	return fmt.Sprintf("Correct the annotations %s/port, %s/path and %s/scheme of %s to where the app serves its metrics.",
		v.prefix(), v.prefix(), v.prefix(), names(scrape.Annotated))
}

func orPods(monitors []string) string {
	if len(monitors) == 0 {
		return "what scrapes the pods"
	}
	return names(monitors)
}

func (v view) prefix() string {
	if v.metric.Scrape.Prefix == "" {
		return "prometheus.io"
	}
	return name(v.metric.Scrape.Prefix)
}

func notScraped(v view) *Finding {
	scrape := v.metric.Scrape
	if !v.withoutTargets() || scrape.Down > 0 {
		return nil
	}
	var by string
	switch {
	case len(scrape.Monitors) > 0:
		by = names(scrape.Monitors) + " selects them"
	case len(scrape.Annotated) > 0:
		by = names(scrape.Annotated) + " is annotated"
	default: // The monitor and the app say why.
		return &Finding{}
	}
	return found(v1alpha1.AutoscalerNotScraped,
		fmt.Sprintf("Prometheus has no target of the pods of %s, although %s.", v.exposer(), by),
		"Name a port in the monitor or the annotation that a container of the pods has; a new target comes within a minute.")
}

func monitorNotSelected(v view) *Finding {
	scrape := v.metric.Scrape
	if !v.withoutTargets() || len(scrape.Unselected) == 0 || len(scrape.Unselected) < len(scrape.Monitors) {
		return nil
	}
	why, _, _ := strings.Cut(scrape.Selector, "; ")
	if !strings.HasPrefix(why, "its ") {
		why = "its " + why + " excludes it"
	}
	finding := found(v1alpha1.AutoscalerMonitorNotSelected,
		fmt.Sprintf("Prometheus does not select %s: %s", names(scrape.Unselected), sentence(why)),
		"Give "+names(scrape.Unselected)+" the labels of that selector.")
	switch {
	case strings.Contains(scrape.Selector, " mode "):
		finding.Remedy = "An administrator changes that mode, or has pods scraped by PodMonitors."
	case strings.Contains(scrape.Selector, "NamespaceSelector"):
		finding.Remedy = "An administrator gives namespace " + name(v.HPA.Namespace) + " the labels of that selector, or widens it."
	case strings.Contains(scrape.Selector, "not set"):
		finding.Remedy = "An administrator sets that selector: while it is not set the Prometheus selects no monitor."
	case slices.ContainsFunc(scrape.Unselected, ours):
		finding.Remedy = "An administrator sets the labels of that selector in spec.scrape.labels of MetricsPipeline default."
	default:
		return finding
	}
	return byAdministrator(finding)
}

// ours is true for the monitors that the operator makes for annotated apps.
func ours(monitor string) bool { return strings.Contains(monitor, " metricspipeline-") }

// withoutMonitor says nothing of its own: the app is the cause.
func withoutMonitor(v view) *Finding {
	if !v.withoutTargets() || len(v.metric.Scrape.Monitors) > 0 {
		return nil
	}
	return &Finding{}
}

func namespaceNotScraped(v view) *Finding {
	scrape := v.metric.Scrape
	if !v.withoutTargets() || scrape.NamespaceNotScraped == "" || scrape.selectsOwn() {
		return nil
	}
	return byAdministrator(found(v1alpha1.AutoscalerNamespaceNotScraped,
		fmt.Sprintf("No app of namespace %s is scraped. %s", name(v.HPA.Namespace), sentence(scrape.NamespaceNotScraped)),
		"An administrator changes spec.scrape of MetricsPipeline default, or what the Prometheus selects, to include namespace "+
			name(v.HPA.Namespace)+"."))
}

// selectsOwn is true where Prometheus selects a monitor of the pods that the operator has not made: it scrapes without annotations.
func (s Scrape) selectsOwn() bool {
	return slices.ContainsFunc(s.Monitors, func(monitor string) bool { return !ours(monitor) && !slices.Contains(s.Unselected, monitor) })
}

func appRejected(v view) *Finding {
	scrape := v.metric.Scrape
	if !v.withoutTargets() || scrape.Rejected == "" {
		return nil
	}
	app := "the app"
	if len(scrape.Annotated) > 0 {
		app = names(scrape.Annotated)
	}
	return found(v1alpha1.AutoscalerAppRejected,
		fmt.Sprintf("The app of %s is annotated and not scraped: %s", v.exposer(), sentence(scrape.Rejected)),
		"Correct the annotations of "+app+" by that reason.")
}

func appNotAnnotated(v view) *Finding {
	scrape := v.metric.Scrape
	if !v.withoutTargets() || len(scrape.Annotated) > 0 || len(scrape.Monitors) > 0 {
		return nil
	}
	on := "their Service or in the template of " + v.exposer()
	if v.metric.Scrape.Of != "" {
		on = v.exposer() + " or in the template of its pods"
	}
	return found(v1alpha1.AutoscalerAppNotAnnotated,
		fmt.Sprintf("Prometheus does not scrape the pods of %s: no monitor selects them, and neither they nor a Service of them has the "+
			"annotation %s/scrape.", v.exposer(), v.prefix()),
		fmt.Sprintf("Set the annotations %s/scrape: \"true\" and %s/port, the port of the metrics, on %s.", v.prefix(), v.prefix(), on))
}

func upper(sentence string) string { return strings.ToUpper(sentence[:1]) + sentence[1:] }
