// SPDX-License-Identifier: MIT

package status

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"strings"
	"sync"

	"github.com/questdb-sf/questdb_sf/internal/status/api"
)

//go:embed page/page.html
var pageHTML string

//go:embed page/main.html
var pageMain string

//go:embed page/page.css
var pageCSS string

//go:embed page/page.js
var pageJS string

// shell is what stands around the figures, with the policy that lets a browser run
// nothing but what is in it.
type shell struct {
	before, after string
	policy        string
	main          *template.Template
}

var page = sync.OnceValue(func() shell {
	html := strings.NewReplacer("{{css}}", pageCSS, "{{js}}", pageJS).Replace(pageHTML)
	before, after, _ := strings.Cut(html, "{{page}}")
	funcs := template.FuncMap{"whole": whole, "size": size, "at": momentOf, "pieces": piecesOf}
	return shell{
		before: before, after: after,
		main: template.Must(template.New("main").Funcs(funcs).Parse(pageMain)),
		policy: "default-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
			"style-src " + hashOf(pageCSS) + "; script-src " + hashOf(pageJS),
	}
})

// draw returns the whole page. All text in it that comes from files or servers is escaped
// by html/template.
func (s *shell) draw(d *api.Document) ([]byte, error) {
	b := bytes.NewBufferString(s.before)
	err := s.main.ExecuteTemplate(b, "page", drawingOf(d))
	b.WriteString(s.after)
	return b.Bytes(), err
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
