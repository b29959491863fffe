// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package promconfig writes monitors as scrape configurations of Prometheus, for one that no prometheus-operator configures. It is
// pure. What it writes makes the targets that prometheus-operator's would, with the role EndpointSlice: test/promconfig proves it. A
// field that it does not know is an error and never left out.
package promconfig

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/yaml"
)

// Job is an entry of scrape_configs, as far as monitors of ours need one.
type Job struct {
	Name                  string              `json:"job_name"`
	HonorLabels           bool                `json:"honor_labels,omitempty"`
	Interval              string              `json:"scrape_interval,omitempty"`
	Timeout               string              `json:"scrape_timeout,omitempty"`
	Path                  string              `json:"metrics_path,omitempty"`
	Scheme                string              `json:"scheme,omitempty"`
	Params                map[string][]string `json:"params,omitempty"`
	FollowRedirects       *bool               `json:"follow_redirects,omitempty"`
	TLS                   *TLS                `json:"tls_config,omitempty"`
	Authorization         *Authorization      `json:"authorization,omitempty"`
	Discovery             []Discovery         `json:"kubernetes_sd_configs"`
	Relabelings           []Relabeling        `json:"relabel_configs,omitempty"`
	MetricRelabelings     []Relabeling        `json:"metric_relabel_configs,omitempty"`
	BodySizeLimit         string              `json:"body_size_limit,omitempty"`
	SampleLimit           int64               `json:"sample_limit,omitempty"`
	TargetLimit           int64               `json:"target_limit,omitempty"`
	LabelLimit            int64               `json:"label_limit,omitempty"`
	LabelNameLengthLimit  int64               `json:"label_name_length_limit,omitempty"`
	LabelValueLengthLimit int64               `json:"label_value_length_limit,omitempty"`
	KeepDroppedTargets    int64               `json:"keep_dropped_targets,omitempty"`
}

// TLS is how the certificates of targets are verified.
type TLS struct {
	// CA is the authority itself, which no monitor has.
	CA                 string `json:"ca,omitempty"`
	CAFile             string `json:"ca_file,omitempty"`
	ServerName         string `json:"server_name,omitempty"`
	InsecureSkipVerify bool   `json:"insecure_skip_verify,omitempty"`
}

// Authorization is what targets are sent. The credential stays in its file.
type Authorization struct {
	Type            string `json:"type,omitempty"`
	CredentialsFile string `json:"credentials_file,omitempty"`
}

// Discovery finds the endpoints or Pods of one namespace.
type Discovery struct {
	Role       string     `json:"role"`
	Namespaces Namespaces `json:"namespaces"`
}

// Namespaces are those of a Discovery.
type Namespaces struct {
	Names []string `json:"names"`
}

// Relabeling is one step by which labels of a target or sample are changed, or it is dropped.
type Relabeling struct {
	Action       string   `json:"action,omitempty"`
	SourceLabels []string `json:"source_labels,omitempty"`
	Separator    *string  `json:"separator,omitempty"`
	Regex        string   `json:"regex,omitempty"`
	Modulus      int64    `json:"modulus,omitempty"`
	TargetLabel  string   `json:"target_label,omitempty"`
	Replacement  *string  `json:"replacement,omitempty"`
}

// document is one that scrape_config_files of Prometheus may name.
type document struct {
	Jobs []Job `json:"scrape_configs"`
}

// Marshal writes jobs as a file that scrape_config_files of Prometheus may name. The same jobs are the same text. What does not read as
// it was meant, such as the key of a YAML merge, is an error: Prometheus would refuse it, and with it the files of all others.
func Marshal(jobs []Job) ([]byte, error) {
	written := document{jobs}
	text, err := yaml.Marshal(written)
	if err != nil {
		return nil, fmt.Errorf("write the scrape configuration: %w", err)
	}
	var read document
	if err := yaml.UnmarshalStrict(text, &read); err != nil {
		return nil, fmt.Errorf("the scrape configuration cannot be read again: %w", err)
	}
	if !equality.Semantic.DeepEqual(written, read) {
		return nil, errors.New("the scrape configuration reads otherwise than it was written")
	}
	return text, nil
}

// check finds what Prometheus would refuse a configuration for: with it, that would refuse those of all others as well.
func (j Job) check() error {
	interval, err := duration(j.Interval)
	if err != nil {
		return fmt.Errorf("the interval of %s: %w", j.Name, err)
	}
	timeout, err := duration(j.Timeout)
	if err != nil {
		return fmt.Errorf("the timeout of %s: %w", j.Name, err)
	}
	if j.Interval != "" && timeout > interval {
		return fmt.Errorf("the timeout of %s is %s, longer than its interval %s", j.Name, j.Timeout, j.Interval)
	}
	for _, relabeling := range slices.Concat(j.Relabelings, j.MetricRelabelings) {
		// As Prometheus anchors it.
		if _, err := regexp.Compile("^(?s:" + relabeling.Regex + ")$"); err != nil {
			return fmt.Errorf("a relabeling of %s: %w", j.Name, err)
		}
	}
	return nil
}

func duration(text string) (model.Duration, error) {
	if text == "" {
		return 0, nil
	}
	return model.ParseDuration(text) //nolint:wrapcheck // it says what the text is
}
