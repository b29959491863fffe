package pki

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestIssuedCertificateServesAndIdentifies(t *testing.T) {
	ca, err := NewCA("test")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(Request{
		CommonName:    "system:node:node",
		Organizations: []string{"system:nodes"},
		DNSNames:      []string{"node"},
		IPs:           []net.IP{net.IPv4(172, 31, 255, 1)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(pair.Certificate, pair.Key); err != nil {
		t.Errorf("certificate and key do not fit: %v", err)
	}
	certificate := parse(t, pair.Certificate)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.Pair().Certificate)
	for _, name := range []string{"node", "172.31.255.1"} {
		if _, err := certificate.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("serving as %s: %v", name, err)
		}
	}
	if _, err := certificate.Verify(x509.VerifyOptions{Roots: roots, DNSName: "other"}); err == nil {
		t.Error("the certificate is good for a name that was not requested")
	}
	client := x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if _, err := certificate.Verify(client); err != nil {
		t.Errorf("as a client: %v", err)
	}
	if got := certificate.Subject; got.CommonName != "system:node:node" || got.Organization[0] != "system:nodes" {
		t.Errorf("subject is %s", got)
	}
}

func TestAuthoritiesDoNotTrustEachOther(t *testing.T) {
	first, err := NewCA("first")
	if err != nil {
		t.Fatal(err)
	}
	second, err := NewCA("second")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := first.Issue(Request{CommonName: "front-proxy-client"})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(second.Pair().Certificate)
	if _, err := parse(t, pair.Certificate).Verify(x509.VerifyOptions{Roots: roots}); err == nil {
		t.Error("a certificate of one authority is trusted by the other")
	}
}

func TestPairComesBackAsWritten(t *testing.T) {
	dir := t.TempDir()
	for _, pair := range []Pair{{[]byte("a certificate"), []byte("a key")}, {[]byte("another"), []byte("of it")}} {
		if err := pair.Write(dir, "name"); err != nil {
			t.Fatal(err)
		}
		read, err := Read(dir, "name")
		if err != nil || string(read.Certificate) != string(pair.Certificate) || string(read.Key) != string(pair.Key) {
			t.Errorf("read %s and %s, %v; want %s and %s", read.Certificate, read.Key, err, pair.Certificate, pair.Key)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "name.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key is readable by others: %v, %v", info.Mode(), err)
	}
}

func TestKubeconfigHoldsEverything(t *testing.T) {
	ca, err := NewCA("test")
	if err != nil {
		t.Fatal(err)
	}
	client, err := ca.Issue(Request{CommonName: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "admin.yaml")
	if err := WriteKubeconfig(path, "https://127.0.0.1:1234", ca.Pair().Certificate, client); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the kubeconfig has a key and is readable by others: %v, %v", info.Mode(), err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Clusters []struct {
			Cluster struct {
				Server string `json:"server"`
				CA     []byte `json:"certificate-authority-data"`
			} `json:"cluster"`
		} `json:"clusters"`
		Users []struct {
			User struct {
				Certificate []byte `json:"client-certificate-data"`
				Key         []byte `json:"client-key-data"`
			} `json:"user"`
		} `json:"users"`
	}
	if err := yaml.Unmarshal(content, &got); err != nil {
		t.Fatal(err)
	}
	if server := got.Clusters[0].Cluster.Server; server != "https://127.0.0.1:1234" {
		t.Errorf("server is %s", server)
	}
	if string(got.Clusters[0].Cluster.CA) != string(ca.Pair().Certificate) {
		t.Error("the authority is not the one given")
	}
	if _, err := tls.X509KeyPair(got.Users[0].User.Certificate, got.Users[0].User.Key); err != nil {
		t.Errorf("the client's pair: %v", err)
	}
}

func parse(t *testing.T, content []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(content)
	if block == nil {
		t.Fatal("no PEM block")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}
