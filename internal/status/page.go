// SPDX-License-Identifier: MIT

package status

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"strings"
	"sync"
)

//go:embed page/page.html
var pageHTML string

//go:embed page/page.css
var pageCSS string

//go:embed page/page.js
var pageJS string

// pageDoc is the page with the policy that lets a browser run nothing but what is
// in it.
type pageDoc struct {
	html   []byte
	policy string
}

// page puts the parts together. Figures come by /api/status; the page itself has none.
var page = sync.OnceValue(func() pageDoc {
	html := strings.NewReplacer("{{css}}", pageCSS, "{{js}}", pageJS).Replace(pageHTML)
	return pageDoc{
		html: []byte(html),
		policy: "default-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
			"style-src " + hashOf(pageCSS) + "; script-src " + hashOf(pageJS),
	}
})

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
