// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package managedprometheus

import (
	"fmt"
	"strings"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// remoteKey is a key that a store of remoteWrite names. It is read beside the authorities, so that the operator's own Secrets are refused.
type remoteKey struct {
	field string
	from  v1alpha1.CertificateAuthority
	store int
	// name of the file that pods find it in.
	name string
}

// Files of a store.
const (
	tokenFile, userFile, passwordFile, storeAuthority = "token", "username", "password", "ca.crt"
)

func (k remoteKey) volume() string {
	return fmt.Sprintf("remote-write-%d-%s", k.store, strings.TrimSuffix(k.name, ".crt"))
}

func (k remoteKey) path() string { return fmt.Sprintf("%s/%s", storePath(k.store), k.name) }

// storePath is where pods find what a store names.
func storePath(store int) string { return fmt.Sprintf("/etc/prometheus/remote-write/%d", store) }

// remoteKeys are the keys that the stores name.
func remoteKeys(spec *v1alpha1.ManagedPrometheusSpec) []remoteKey {
	if spec == nil {
		return nil
	}
	var all []remoteKey
	for i, store := range spec.RemoteWrite {
		add := func(field, name string, from v1alpha1.CertificateAuthority) {
			all = append(all, remoteKey{fmt.Sprintf("prometheus.managed.remoteWrite[%d].%s", i, field), from, i, name})
		}
		ofSecret := func(key v1alpha1.KeyReference) v1alpha1.CertificateAuthority {
			return v1alpha1.CertificateAuthority{Secret: &key}
		}
		if store.BearerToken != nil {
			add("bearerToken", tokenFile, ofSecret(*store.BearerToken))
		}
		if store.BasicAuth != nil {
			add("basicAuth.username", userFile, ofSecret(store.BasicAuth.Username))
			add("basicAuth.password", passwordFile, ofSecret(store.BasicAuth.Password))
		}
		if store.CA != nil {
			add("ca", storeAuthority, *store.CA)
		}
	}
	return all
}

// sender are the labels by which a store tells the samples of two pods apart: beside a second replica or in a rollout both send every
// series. They are those that prometheus-operator gives the samples of its object. Prometheus puts in the variable of its environment.
func sender(namespace string) fields {
	return fields{"prometheus": namespace + "/" + prometheus.ManagedObject, "prometheus_replica": "${POD_NAME}"}
}

// remoteWrites are the stores in Prometheus' configuration.
func remoteWrites(spec *v1alpha1.ManagedPrometheusSpec) []fields {
	var all []fields
	for i, store := range spec.RemoteWrite {
		file := func(name string) string { return storePath(i) + "/" + name + "/" + name }
		written := fields{"url": store.URL, "follow_redirects": false}
		if store.BearerToken != nil {
			written["authorization"] = fields{"credentials_file": file(tokenFile)}
		}
		if store.BasicAuth != nil {
			written["basic_auth"] = fields{"username_file": file(userFile), "password_file": file(passwordFile)}
		}
		if store.CA != nil {
			written["tls_config"] = fields{"ca_file": file(storeAuthority)}
		}
		all = append(all, written)
	}
	return all
}

// remoteWritesOfObject are the stores as the Prometheus object has them.
func remoteWritesOfObject(spec *v1alpha1.ManagedPrometheusSpec) []fields {
	selector := func(key v1alpha1.KeyReference) fields { return fields{"name": key.Name, "key": key.Key} }
	var all []fields
	for _, store := range spec.RemoteWrite {
		written := fields{"url": store.URL, "followRedirects": false}
		if store.BearerToken != nil {
			written["authorization"] = fields{"credentials": selector(*store.BearerToken)}
		}
		if store.BasicAuth != nil {
			written["basicAuth"] = fields{"username": selector(store.BasicAuth.Username), "password": selector(store.BasicAuth.Password)}
		}
		switch ca := store.CA; {
		case ca == nil:
		case ca.Secret != nil:
			written["tlsConfig"] = fields{"ca": fields{"secret": selector(*ca.Secret)}}
		case ca.ConfigMap != nil:
			written["tlsConfig"] = fields{"ca": fields{"configMap": selector(*ca.ConfigMap)}}
		}
		all = append(all, written)
	}
	return all
}
