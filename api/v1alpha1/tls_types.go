// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// TLSVerification says whether the certificate of a server is verified.
//
// +kubebuilder:validation:Enum=Verify;Insecure
type TLSVerification string

const (
	// TLSVerify verifies it.
	TLSVerify TLSVerification = "Verify"
	// TLSInsecure accepts any certificate, so that any process that answers on the server's address is believed.
	TLSInsecure TLSVerification = "Insecure"
)

// TLSOptions say how the certificate of a server is verified.
type TLSOptions struct {
	// verification is Verify (default) or Insecure, which accepts any certificate.
	// +optional
	// +kubebuilder:default=Verify
	Verification TLSVerification `json:"verification,omitempty"`
}

// ClientTLS says how a server is verified, and which certificate is presented to it.
//
// +kubebuilder:validation:XValidation:rule="!has(self.ca) || !has(self.verification) || self.verification != 'Insecure'",message="verification Insecure accepts any certificate, so ca verifies nothing; remove ca, or set verification to Verify"
type ClientTLS struct {
	// verification is Verify (default) or Insecure, which accepts any certificate.
	// +optional
	Verification TLSVerification `json:"verification,omitempty"`

	// ca is the certificate authority that the server's certificate is verified by. Unset: those of the system.
	// +optional
	CA *CertificateAuthority `json:"ca,omitempty"`

	// serverName is the name that the server's certificate is for, where that is not the host of the URL.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9]([-.a-zA-Z0-9]*[a-zA-Z0-9])?$`
	ServerName string `json:"serverName,omitempty"`

	// clientCert is a Secret of type kubernetes.io/tls with the client certificate to present.
	// +optional
	ClientCert *NameReference `json:"clientCert,omitempty"`
}

// CertificateAuthority names a certificate authority in the operator's namespace.
//
// +kubebuilder:validation:XValidation:rule="has(self.secret) != has(self.configMap)",message="ca is in exactly one place: set either secret or configMap"
type CertificateAuthority struct {
	// secret is the key of a Secret that has the certificate authority in PEM.
	// +optional
	Secret *KeyReference `json:"secret,omitempty"`

	// configMap is the key of a ConfigMap that has the certificate authority in PEM.
	// +optional
	ConfigMap *KeyReference `json:"configMap,omitempty"`
}

// KeyReference names one key of a Secret or ConfigMap in the operator's namespace.
type KeyReference struct {
	// name of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// key in its data.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	Key string `json:"key,omitempty"`
}

// NameReference names an object in the operator's namespace.
type NameReference struct {
	// name of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}
