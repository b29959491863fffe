// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// metricsReader is the ClusterRole of config/ for scrapers of the operator.
const metricsReader = "metricspipeline-operator-metrics-reader"

// Token makes a ServiceAccount in the namespace default, bound to the role of scrapers or to none, and returns its token.
func (c *Cluster) Token(ctx context.Context, name string, mayScrape bool) (string, error) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name}}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: metricsReader},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: account.Namespace, Name: name}},
	}
	objects := []client.Object{account}
	if mayScrape {
		objects = append(objects, binding)
	}
	for _, object := range objects {
		if err := client.IgnoreAlreadyExists(c.Client.Create(ctx, object)); err != nil {
			return "", fmt.Errorf("making the ServiceAccount %s: %w", name, err)
		}
	}
	request := &authenticationv1.TokenRequest{}
	if err := c.Client.SubResource("token").Create(ctx, account, request); err != nil {
		return "", fmt.Errorf("request a token of %s: %w", name, err)
	}
	return request.Status.Token, nil
}

// GetMetrics reads the operator's metrics endpoint, whose certificate is self-signed, and returns the status code and the
// answer. Without a token it is anonymous.
func GetMetrics(ctx context.Context, address, token string) (code int, body string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/metrics", http.NoBody)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return 0, "", err
	}
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), errors.Join(err, response.Body.Close())
}
