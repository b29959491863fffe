// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/internal/text"
)

const (
	// wellKnown is the prefix that everybody uses. Another may be one letter from a third one that somebody else uses.
	wellKnown = "prometheus.io"
	// annotationProbe requests a probe in the examples of the blackbox exporter, and nothing here.
	annotationProbe = "probe"
	// mostDetour is how many characters longer or shorter than a key one is that may be meant by it.
	mostDetour = 4
)

// NearMiss returns why what the metadata of a Service or Pod almost requests is not honored, and where it belongs; empty where
// there is nothing of the kind. It is sure of what it says: an annotation that anybody might have for another purpose is no near miss,
// such as a port without scrape, which monitors written by hand read.
func NearMiss(prefix, kind string, object metav1.Object) string {
	annotations := object.GetAnnotations()
	key := prefix + "/" + annotationScrape
	value, stated := annotations[key]
	switch {
	case Wanted(prefix, annotations):
		if reason := misspelledPart(prefix, kind, annotations); reason != "" {
			return reason
		}
	case stated && meantYes(value):
		return fmt.Sprintf("annotation %s is %q, which is no: write %q", key, text.Shorten(value, longestValue), "true")
	case stated: // It is a no, whatever else there is.
	default:
		if other := first(annotations, func(other, value string) bool {
			return yes.MatchString(value) && isNear(prefix, annotationScrape, other)
		}); other != "" {
			return fmt.Sprintf("annotation %s requests nothing: write %s: %q, with exactly this key%s", other, key, "true", in(kind))
		}
		if yes.MatchString(object.GetLabels()[key]) {
			return fmt.Sprintf("label %s requests nothing: write it as an annotation, %s: %q%s", key, key, "true", in(kind))
		}
	}
	if probe := prefix + "/" + annotationProbe; yes.MatchString(annotations[probe]) {
		return fmt.Sprintf("annotation %s requests nothing: the %s is not probed; to have it probed, write a Probe (%s) that names a "+
			"blackbox exporter; to have its own metrics scraped, write %s: %q", probe, kind, "monitoring.coreos.com/v1", key, "true")
	}
	return ""
}

// NearMissOfWorkload is why an annotation of a workload itself is not honored, and where it belongs; pods says whether those of Pods
// are.
func NearMissOfWorkload(prefix, kind string, pods bool) string {
	place := "to the Service in front of its Pods"
	if pods {
		place = "to spec.template.metadata.annotations, or " + place
	}
	return fmt.Sprintf("annotation %s/%s of the %s itself requests nothing: move it and the others of %s/ %s",
		prefix, annotationScrape, kind, prefix, place)
}

// BesideTemplate is true for the metadata of a workload that requests scraping itself, while its template does not say whether its Pods
// are to be scraped. What the template has is known from the fields that the writers of the workload own; where these are not
// recorded, it is false.
func BesideTemplate(prefix string, workload metav1.Object) bool {
	if !Wanted(prefix, workload.GetAnnotations()) {
		return false
	}
	known := false
	for _, writer := range workload.GetManagedFields() {
		var owned struct {
			Spec struct {
				Template *struct {
					Metadata struct {
						Annotations map[string]json.RawMessage `json:"f:annotations"`
					} `json:"f:metadata"`
				} `json:"f:template"`
			} `json:"f:spec"`
		}
		if writer.FieldsV1 == nil || json.Unmarshal(writer.FieldsV1.GetRawBytes(), &owned) != nil || owned.Spec.Template == nil {
			continue
		}
		if known = true; owned.Spec.Template.Metadata.Annotations["f:"+prefix+"/"+annotationScrape] != nil {
			return false
		}
	}
	return known
}

// misspelledPart returns what is wrong with a further annotation of an app that requests scraping; empty where nothing is.
func misspelledPart(prefix, kind string, annotations map[string]string) string {
	for _, part := range parts {
		key := prefix + "/" + part.name
		if _, stated := annotations[key]; stated {
			continue
		}
		other := first(annotations, func(other, value string) bool { return value != "" && isNearPart(prefix, part.name, other) })
		if other != "" {
			return fmt.Sprintf("annotation %s is ignored: write %s, with exactly this key%s", other, key, in(kind))
		}
	}
	return ""
}

// in says where the annotations of a kind are written.
func in(kind string) string {
	if kind == "Pod" {
		return ", in the template of the Pod"
	}
	return ""
}

// first returns the first key, by name, for which a condition is true; empty for none.
func first(set map[string]string, is func(key, value string) bool) string {
	found := ""
	for key, value := range set {
		if (found == "" || key < found) && is(key, value) {
			found = key
		}
	}
	return found
}

// meantYes is true for a value that says yes and is none.
func meantYes(value string) bool {
	value = strings.ToLower(strings.Trim(value[:min(len(value), longestValue)], " \t\r\n\"'`"))
	return yes.MatchString(value) || slices.Contains([]string{"y", "t", "enable", "enabled"}, value)
}

// isNear is true for a key that means prefix/name and is not it: it has other separators or another case, or a slip in one half.
func isNear(prefix, name, key string) bool {
	if key == prefix+"/"+name || abs(len(key)-len(prefix+"/"+name)) > mostDetour {
		return false
	}
	if squash(key) == squash(prefix+name) {
		return true
	}
	domain, rest, _ := strings.Cut(key, "/")
	switch {
	case domain == prefix:
		return slips(strings.ToLower(rest), name) <= 2
	case prefix == wellKnown && squash(rest) == name:
		return domain+".io" == prefix || slips(strings.ToLower(domain), prefix) <= 2
	}
	return false
}

// isNearPart is isNear for the names that are too short for more than one slip.
func isNearPart(prefix, name, key string) bool {
	if key == prefix+"/"+name || abs(len(key)-len(prefix+"/"+name)) > mostDetour || isKnown(prefix, key) {
		return false
	}
	rest, ours := strings.CutPrefix(key, prefix+"/")
	return squash(key) == squash(prefix+name) || ours && slips(strings.ToLower(rest), name) == 1
}

// isKnown is true for a key that the grammar reads.
func isKnown(prefix, key string) bool {
	for _, part := range parts {
		if key == prefix+"/"+part.name {
			return true
		}
	}
	return key == prefix+"/"+annotationScrape || key == prefix+"/"+annotationSlow || strings.HasPrefix(key, prefix+"/"+annotationParam)
}

// squash leaves the lower-case letters and digits of a key.
func squash(key string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("/._-", r) {
			return -1
		}
		return r
	}, strings.ToLower(key))
}

func abs(n int) int { return max(n, -n) }

// slips is the number of characters to insert, delete or replace that makes one short text of another (Levenshtein).
func slips(one, other string) int {
	row := make([]int, len(other)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(one) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(other) {
			cost := diagonal
			if one[i] != other[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(other)]
}
