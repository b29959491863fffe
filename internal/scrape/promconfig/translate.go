// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package promconfig

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
)

// Roles of Prometheus' service discovery.
const (
	roleEndpointSlice = "endpointslice"
	rolePod           = "pod"
)

// Reference names a key of a Secret or ConfigMap.
type Reference struct {
	// ConfigMap is true for that kind.
	ConfigMap            bool
	Namespace, Name, Key string
}

func (r Reference) String() string {
	kind := "Secret"
	if r.ConfigMap {
		kind = "ConfigMap"
	}
	return fmt.Sprintf("key %s of %s %s/%s", r.Key, kind, r.Namespace, r.Name)
}

// Files returns the path at which Prometheus finds the value of a key; false where it has no such file.
type Files func(Reference) (path string, known bool)

// NoFiles is for a Prometheus that has none.
func NoFiles(Reference) (string, bool) { return "", false }

// Of returns the job of each endpoint of a monitor of either kind.
func Of(monitor runtime.Object, files Files) ([]Job, error) {
	switch of := monitor.(type) {
	case *monitoringv1.ServiceMonitor:
		return OfServiceMonitor(of, files)
	case *monitoringv1.PodMonitor:
		return OfPodMonitor(of, files)
	default:
		return nil, fmt.Errorf("no scrape configuration is known for a %T", monitor)
	}
}

// OfServiceMonitor returns the job of each endpoint of a ServiceMonitor.
func OfServiceMonitor(monitor *monitoringv1.ServiceMonitor, files Files) ([]Job, error) {
	spec := monitor.Spec.DeepCopy()
	endpoints, selector, podLabels := spec.Endpoints, spec.Selector.MatchLabels, spec.PodTargetLabels
	job := limits(&spec.BodySizeLimit, &spec.SampleLimit, &spec.TargetLimit, &spec.LabelLimit, &spec.LabelNameLengthLimit,
		&spec.LabelValueLengthLimit, &spec.KeepDroppedTargets)
	spec.Endpoints, spec.Selector.MatchLabels, spec.PodTargetLabels = nil, nil, nil
	job.Discovery = discovery(roleEndpointSlice, monitor.Namespace)
	err := unknown("spec", spec, monitoringv1.ServiceMonitorSpec{})
	var jobs []Job
	for i, endpoint := range endpoints {
		of := job
		of.Name = fmt.Sprintf("serviceMonitor/%s/%s/%d", monitor.Namespace, monitor.Name, i)
		port := endpoint.Port
		endpoint.Port = ""
		own := generic{&endpoint.HonorLabels, &endpoint.Interval, &endpoint.ScrapeTimeout, &endpoint.Path, &endpoint.Scheme,
			&endpoint.Params, &endpoint.FollowRedirects, &endpoint.Authorization, &endpoint.RelabelConfigs, &endpoint.MetricRelabelConfigs}
		var tls monitoringv1.SafeTLSConfig
		if endpoint.TLSConfig != nil {
			tls, endpoint.TLSConfig.SafeTLSConfig = endpoint.TLSConfig.SafeTLSConfig, monitoringv1.SafeTLSConfig{}
			if *endpoint.TLSConfig == (monitoringv1.TLSConfig{}) {
				endpoint.TLSConfig = nil
			}
		}
		relabelings := own.fill(&of)
		of.Relabelings = append(ofService(selector, podLabels, port), relabelings...)
		err = errors.Join(err, of.secure(monitor.Namespace, tls, own, files), of.check(),
			unknown(fmt.Sprintf("spec.endpoints[%d]", i), endpoint, monitoringv1.Endpoint{}))
		jobs = append(jobs, of)
	}
	if err != nil {
		return nil, fmt.Errorf("ServiceMonitor %s/%s: %w", monitor.Namespace, monitor.Name, err)
	}
	return jobs, nil
}

// OfPodMonitor returns the job of each endpoint of a PodMonitor.
func OfPodMonitor(monitor *monitoringv1.PodMonitor, files Files) ([]Job, error) {
	spec := monitor.Spec.DeepCopy()
	endpoints, selector, podLabels := spec.PodMetricsEndpoints, spec.Selector.MatchLabels, spec.PodTargetLabels
	job := limits(&spec.BodySizeLimit, &spec.SampleLimit, &spec.TargetLimit, &spec.LabelLimit, &spec.LabelNameLengthLimit,
		&spec.LabelValueLengthLimit, &spec.KeepDroppedTargets)
	spec.PodMetricsEndpoints, spec.Selector.MatchLabels, spec.PodTargetLabels = nil, nil, nil
	job.Discovery = discovery(rolePod, monitor.Namespace)
	err := unknown("spec", spec, monitoringv1.PodMonitorSpec{})
	var jobs []Job
	for i, endpoint := range endpoints {
		of := job
		of.Name = fmt.Sprintf("podMonitor/%s/%s/%d", monitor.Namespace, monitor.Name, i)
		port := ptr.Deref(endpoint.Port, "")
		endpoint.Port = nil
		own := generic{&endpoint.HonorLabels, &endpoint.Interval, &endpoint.ScrapeTimeout, &endpoint.Path, &endpoint.Scheme,
			&endpoint.Params, &endpoint.FollowRedirects, &endpoint.Authorization, &endpoint.RelabelConfigs, &endpoint.MetricRelabelConfigs}
		tls := ptr.Deref(endpoint.TLSConfig, monitoringv1.SafeTLSConfig{})
		endpoint.TLSConfig = nil
		relabelings := own.fill(&of)
		of.Relabelings = append(ofPod(selector, podLabels, port, monitor.Namespace+"/"+monitor.Name), relabelings...)
		err = errors.Join(err, of.secure(monitor.Namespace, tls, own, files), of.check(),
			unknown(fmt.Sprintf("spec.podMetricsEndpoints[%d]", i), endpoint, monitoringv1.PodMetricsEndpoint{}))
		jobs = append(jobs, of)
	}
	if err != nil {
		return nil, fmt.Errorf("PodMonitor %s/%s: %w", monitor.Namespace, monitor.Name, err)
	}
	return jobs, nil
}

func discovery(role, namespace string) []Discovery {
	return []Discovery{{Role: role, Namespaces: Namespaces{Names: []string{namespace}}}}
}

// take returns what a field has, and empties it: what is left in the end is not known.
func take[T any](field *T) T {
	var none T
	value := *field
	*field = none
	return value
}

// limits takes those of a monitor.
func limits(body **monitoringv1.ByteSize, samples, targets, labels, names, values, dropped **int64) Job {
	return Job{
		BodySizeLimit: string(ptr.Deref(take(body), "")),
		SampleLimit:   ptr.Deref(take(samples), 0), TargetLimit: ptr.Deref(take(targets), 0),
		LabelLimit: ptr.Deref(take(labels), 0), LabelNameLengthLimit: ptr.Deref(take(names), 0),
		LabelValueLengthLimit: ptr.Deref(take(values), 0), KeepDroppedTargets: ptr.Deref(take(dropped), 0),
	}
}

// generic are the fields that endpoints of both kinds have.
type generic struct {
	honorLabels       *bool
	interval, timeout *monitoringv1.Duration
	path              *string
	scheme            **monitoringv1.Scheme
	params            *map[string][]string
	followRedirects   **bool
	authorization     **monitoringv1.SafeAuthorization
	relabelings       *[]monitoringv1.RelabelConfig
	ofMetrics         *[]monitoringv1.RelabelConfig
}

// fill takes the fields into a job but for the credentials, and returns the relabelings of the targets.
func (g generic) fill(job *Job) []Relabeling {
	job.HonorLabels, job.Path, job.Params, job.FollowRedirects = take(g.honorLabels), take(g.path), take(g.params), take(g.followRedirects)
	job.Interval, job.Timeout = string(take(g.interval)), string(take(g.timeout))
	// The values of the field may be in upper case.
	job.Scheme = strings.ToLower(string(ptr.Deref(take(g.scheme), "")))
	job.MetricRelabelings = translated(take(g.ofMetrics))
	return translated(take(g.relabelings))
}

// secure adds how the job verifies targets and what it presents to them.
func (j *Job) secure(namespace string, tls monitoringv1.SafeTLSConfig, own generic, files Files) error {
	verified := TLS{ServerName: ptr.Deref(take(&tls.ServerName), ""), InsecureSkipVerify: ptr.Deref(take(&tls.InsecureSkipVerify), false)}
	var err error
	switch ca := take(&tls.CA); {
	case ca.Secret != nil:
		verified.CAFile, err = file(files, Reference{Namespace: namespace, Name: ca.Secret.Name, Key: ca.Secret.Key})
	case ca.ConfigMap != nil:
		verified.CAFile, err = file(files, Reference{ConfigMap: true, Namespace: namespace, Name: ca.ConfigMap.Name, Key: ca.ConfigMap.Key})
	}
	if verified != (TLS{}) {
		j.TLS = &verified
	}
	authorization := take(own.authorization)
	if authorization == nil {
		return errors.Join(err, unknown("tlsConfig", tls, monitoringv1.SafeTLSConfig{}))
	}
	j.Authorization = &Authorization{Type: cmp.Or(strings.TrimSpace(authorization.Type), "Bearer")}
	if key := authorization.Credentials; key != nil {
		path, missing := file(files, Reference{Namespace: namespace, Name: key.Name, Key: key.Key})
		j.Authorization.CredentialsFile, err = path, errors.Join(err, missing)
	}
	return errors.Join(err, unknown("tlsConfig", tls, monitoringv1.SafeTLSConfig{}))
}

// file returns the path of a key's value.
func file(files Files, key Reference) (string, error) {
	path, known := files(key)
	if !known {
		return "", fmt.Errorf("%s is in no file of the Prometheus", key)
	}
	return path, nil
}

// unknown returns an error about the fields that are set in rest and not in none.
func unknown(of string, rest, none any) error {
	set, err := fieldsOf(rest)
	if err != nil {
		return err
	}
	unset, err := fieldsOf(none)
	if err != nil {
		return err
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if string(set[name]) != string(unset[name]) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("%s: no scrape configuration is known for %s", of, strings.Join(names, ", "))
}

func fieldsOf(object any) (map[string]json.RawMessage, error) {
	text, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("write the fields: %w", err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, fmt.Errorf("read the fields: %w", err)
	}
	return fields, nil
}
