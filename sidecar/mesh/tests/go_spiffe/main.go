// Verifies certificates with go-spiffe, the reference implementation of SPIFFE.
//
// Standard input has one JSON document a line: the certificate chain and the anchors as hexadecimal
// DER, and the time. Standard output has one line for each: the id, and whether the leaf is for
// clients; or the error.
package main

import (
	"bufio"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"log"
	"os"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

type question struct {
	TrustDomain string   `json:"trustDomain"`
	Chain       []string `json:"chain"`
	Anchors     []string `json:"anchors"`
	Now         int64    `json:"now"`
}

type answer struct {
	ID           string `json:"id,omitempty"`
	IsForClients bool   `json:"isForClients,omitempty"`
	Error        string `json:"error,omitempty"`
}

func verify(q question) answer {
	bundle := x509bundle.New(spiffeid.RequireTrustDomainFromString(q.TrustDomain))
	for _, text := range q.Anchors {
		certificate, err := x509.ParseCertificate(decode(text))
		if err != nil {
			log.Fatalf("anchor: %v", err)
		}
		bundle.AddX509Authority(certificate)
	}
	var chain [][]byte
	for _, text := range q.Chain {
		chain = append(chain, decode(text))
	}
	id, chains, err := x509svid.ParseAndVerify(chain, bundle, x509svid.WithTime(time.Unix(q.Now, 0)))
	if err != nil {
		return answer{Error: err.Error()}
	}
	isForClients := slices.Contains(chains[0][0].ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	return answer{ID: id.String(), IsForClients: isForClients}
}

func decode(text string) []byte {
	bytes, err := hex.DecodeString(text)
	if err != nil {
		log.Fatal(err)
	}
	return bytes
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var q question
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			log.Fatal(err)
		}
		if err := out.Encode(verify(q)); err != nil {
			log.Fatal(err)
		}
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
}
