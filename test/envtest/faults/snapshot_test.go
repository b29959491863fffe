// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/prometheus"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// statusID is the key of the pipeline's status in a snapshot.
const statusID = "status"

// authoritySecret has the operator's own authority.
const authoritySecret = "metricspipeline-ca"

// snapshot is how everything stands: each managed object by its identity, and the pipeline's status, as JSON without what
// differs between two runs that came to the same. Of certificates it says what they are good for.
type snapshot map[string]string

// differs returns how another snapshot differs, of the first objects whole; empty where it does not.
func (s snapshot) differs(other snapshot) string {
	const most = 2
	all := maps.Clone(s)
	maps.Copy(all, other)
	var found []string
	for _, id := range slices.Sorted(maps.Keys(all)) {
		switch {
		case s[id] == other[id]:
		case len(found) < most:
			found = append(found, fmt.Sprintf("%s (-want +got):\n%s", id, cmp.Diff(strings.Split(s[id], "\n"), strings.Split(other[id], "\n"))))
		default:
			found = append(found, id)
		}
	}
	return strings.Join(found, "\n")
}

// takeSnapshot reads how everything stands.
func takeSnapshot(w *harness.World) (snapshot, error) {
	objects, err := w.Objects()
	if err != nil {
		return nil, err
	}
	pipelines := &v1alpha1.MetricsPipelineList{}
	if err := w.Client.List(w.Ctx, pipelines); err != nil {
		return nil, err
	}
	owners := map[types.UID]string{}
	for _, object := range objects {
		owners[object.GetUID()] = harness.Identity(object)
	}
	taken := snapshot{}
	for i := range pipelines.Items {
		owners[pipelines.Items[i].UID] = "MetricsPipeline " + pipelines.Items[i].Name
		if taken[statusID], err = normalStatus(pipelines.Items[i]); err != nil {
			return nil, err
		}
	}
	known := readCertificates(objects)
	for _, object := range objects {
		if taken[harness.Identity(object)], err = normal(object, owners, known); err != nil {
			return nil, err
		}
	}
	return taken, nil
}

// normal returns an object as JSON without what differs between runs.
func normal(object *unstructured.Unstructured, owners map[types.UID]string, known certificates) (string, error) {
	kept := object.DeepCopy()
	var references []any
	for _, owner := range kept.GetOwnerReferences() {
		// What others add is theirs.
		if name := owners[owner.UID]; name != "" {
			references = append(references, name)
		}
	}
	slices.SortFunc(references, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	meta := map[string]any{"ownerReferences": references, "deleted": kept.GetDeletionTimestamp() != nil}
	if !isShard(object) { // Of which each field is compared, whoever owns it.
		meta["ours"] = ownedFields(object, owners)
	}
	for _, field := range []string{"name", "namespace", "labels", "annotations", "finalizers"} {
		if value, found, _ := unstructured.NestedFieldNoCopy(kept.Object, "metadata", field); found {
			meta[field] = value
		}
	}
	kept.Object["metadata"] = meta
	delete(kept.Object, "status")
	if kept.GetKind() == "Service" { // Drawn by lot.
		unstructured.RemoveNestedField(kept.Object, "spec", "clusterIP")
		unstructured.RemoveNestedField(kept.Object, "spec", "clusterIPs")
	}
	known.describe(kept)
	content, err := json.MarshalIndent(kept.Object, "", " ")
	return string(content), err
}

// ownedFields returns the fields that the operator's apply owns: one that is given away would not be repaired any more.
func ownedFields(object client.Object, owners map[types.UID]string) []any {
	var fields []any
	for _, path := range ownedPaths(object) {
		field := path.String()
		for uid, name := range owners {
			field = strings.ReplaceAll(field, string(uid), name)
		}
		fields = append(fields, uidOfDeleted.ReplaceAllString(field, "a deleted owner"))
	}
	slices.SortFunc(fields, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	return fields
}

// uidOfDeleted is what is left of deleted owners: garbage collection drops such references at any time.
var uidOfDeleted = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// ownedPaths are the leaves of what the operator owns.
func ownedPaths(object client.Object) []fieldpath.Path {
	var paths []fieldpath.Path
	for _, entry := range object.GetManagedFields() {
		applied := entry.Operation == metav1.ManagedFieldsOperationApply || isShard(object) // Whose keys are patched.
		if entry.Manager != v1alpha1.FieldManager || !applied || entry.Subresource != "" {
			continue
		}
		set := &fieldpath.Set{}
		if err := set.FromJSON(strings.NewReader(entry.FieldsV1.GetRawString())); err != nil {
			continue
		}
		set.Leaves().Iterate(func(path fieldpath.Path) { paths = append(paths, path.Copy()) })
	}
	return paths
}

// normalStatus is the pipeline's status without times.
func normalStatus(pipeline v1alpha1.MetricsPipeline) (string, error) {
	status := pipeline.Status.DeepCopy()
	current := status.ObservedGeneration == pipeline.Generation
	status.ObservedGeneration = 0
	for i := range status.Conditions {
		current = current && status.Conditions[i].ObservedGeneration == pipeline.Generation
		status.Conditions[i].ObservedGeneration = 0
		status.Conditions[i].LastTransitionTime = metav1.Time{}
	}
	for i := range status.APIServices {
		status.APIServices[i].LastTransitionTime = nil
		if expiry := status.APIServices[i].ServingCertificateExpiry; expiry != nil {
			status.APIServices[i].ServingCertificateExpiry = &metav1.Time{}
		}
	}
	for i := range status.Certificates {
		status.Certificates[i].Expires, status.Certificates[i].Renews = nil, nil
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(status)
	if err != nil {
		return "", err
	}
	content["current"] = current
	text, err := json.MarshalIndent(content, "", " ")
	return string(text), err
}

// certificates are those in the Secrets.
type certificates struct {
	authority *x509.Certificate
	// serving are by the component that presents them; nil for a pair that is none.
	serving map[string]*x509.Certificate
	// drawn is true where what is presented to Prometheus was drawn by lot.
	drawn bool
}

func readCertificates(objects []*unstructured.Unstructured) certificates {
	known := certificates{serving: map[string]*x509.Certificate{}}
	for _, object := range objects {
		if object.GetKind() != "Secret" {
			continue
		}
		leaf := pairIn(object)
		known.drawn = known.drawn || object.GetName() == prometheus.ManagedName+"-access"
		if object.GetName() == authoritySecret {
			known.authority = leaf
		} else {
			known.serving[object.GetLabels()[v1alpha1.ComponentLabel]] = leaf
		}
	}
	return known
}

// describe replaces certificates and keys by what they are good for.
func (k certificates) describe(object *unstructured.Unstructured) {
	component := object.GetLabels()[v1alpha1.ComponentLabel]
	switch object.GetKind() {
	case "ConfigMap":
		if form, _, _ := unstructured.NestedString(object.Object, "binaryData", "form.json.gz"); k.drawn && form != "" {
			object.Object["binaryData"] = map[string]any{"form": tokenDigest.ReplaceAllString(decompressed(form), "$1")}
		}
	case "Deployment":
		annotations, _, _ := unstructured.NestedStringMap(object.Object, "spec", "template", "metadata", "annotations")
		if k.drawn && annotations[credentialsDigest] != "" {
			_ = unstructured.SetNestedField(object.Object, digestOfToken, "spec", "template", "metadata", "annotations", credentialsDigest)
		}
	case "APIService":
		bundle, _, _ := unstructured.NestedString(object.Object, "spec", "caBundle")
		decoded, _ := base64.StdEncoding.DecodeString(bundle)
		_ = unstructured.SetNestedField(object.Object, k.bundle(decoded, component), "spec", "caBundle")
	case "Secret":
		bundle, _, _ := unstructured.NestedString(object.Object, "data", "ca.crt")
		decoded, _ := base64.StdEncoding.DecodeString(bundle)
		pair := "no pair"
		if leaf := pairIn(object); leaf != nil {
			pair = fmt.Sprintf("%s for %q", leaf.Subject, leaf.DNSNames)
			if k.authority != nil && leaf.CheckSignatureFrom(k.authority) == nil {
				pair += ", signed by the authority"
			}
		}
		object.Object["data"] = map[string]any{"pair": pair, "ca.crt": k.bundle(decoded, component)}
	}
}

// credentialsDigest is the annotation that changes with what a component presents.
const (
	credentialsDigest = "metricspipeline.io/credentials-digest"
	digestOfToken     = "a digest"
)

var tokenDigest = regexp.MustCompile(`("` + credentialsDigest + `":)"[0-9a-f]+"`)

// decompressed returns what is in the last good form of a component.
func decompressed(form string) string {
	reader, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(form)))
	if err != nil {
		return err.Error()
	}
	content, err := io.ReadAll(reader)
	return string(content) + fmt.Sprint(err)
}

// bundle says what a caBundle trusts, and whether that is the certificate that is served.
func (k certificates) bundle(content []byte, component string) string {
	certs := parseAll(content)
	roots := x509.NewCertPool()
	authority := false
	for _, cert := range certs {
		roots.AddCert(cert)
		authority = authority || k.authority != nil && cert.Equal(k.authority)
	}
	says := fmt.Sprintf("%d certificates, the authority among them: %t", len(certs), authority)
	if leaf := k.serving[component]; leaf != nil {
		_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: component + "." + harness.OperatorNamespace + ".svc"})
		says += fmt.Sprintf(", trusts the serving certificate: %t", err == nil)
	}
	return says
}

// pairIn returns the certificate of the pair in a Secret; nil where there is no whole one.
func pairIn(secret *unstructured.Unstructured) *x509.Certificate {
	data, _, _ := unstructured.NestedStringMap(secret.Object, "data")
	cert, certErr := base64.StdEncoding.DecodeString(data["tls.crt"])
	key, keyErr := base64.StdEncoding.DecodeString(data["tls.key"])
	pair, err := tls.X509KeyPair(cert, key)
	if certErr != nil || keyErr != nil || err != nil {
		return nil
	}
	return pair.Leaf
}

func parseAll(content []byte) []*x509.Certificate {
	var certs []*x509.Certificate
	for block, rest := pem.Decode(bytes.TrimSpace(content)); block != nil; block, rest = pem.Decode(rest) {
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			certs = append(certs, cert)
		}
	}
	return certs
}
