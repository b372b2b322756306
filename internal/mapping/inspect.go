// SPDX-License-Identifier: MIT

package mapping

import (
	"errors"
	"fmt"
	"text/template/parse"
)

// inspect finds out what a template depends on, and refuses one that could make
// no name of any metric.
func (t *Template) inspect() error {
	root := t.tmpl.Tree
	if root == nil || root.Root == nil || parse.IsEmptyTree(root.Root) {
		return errors.New("it is empty; the name of the measurement is " + DefaultTable)
	}
	t.plain = isName(root.Root)
	return t.list(root.Root, true)
}

// isName tells whether a template is {{ .Name }} and nothing else.
func isName(l *parse.ListNode) bool {
	if len(l.Nodes) != 1 {
		return false
	}
	a, ok := l.Nodes[0].(*parse.ActionNode)
	if !ok || len(a.Pipe.Decl) > 0 || len(a.Pipe.Cmds) != 1 || len(a.Pipe.Cmds[0].Args) != 1 {
		return false
	}
	f, ok := a.Pipe.Cmds[0].Args[0].(*parse.FieldNode)
	return ok && len(f.Ident) == 1 && f.Ident[0] == "Name"
}

// list inspects nodes; metric says that the dot is the metric there.
func (t *Template) list(l *parse.ListNode, metric bool) error {
	if l == nil {
		return nil
	}
	for _, n := range l.Nodes {
		if err := t.node(n, metric); err != nil {
			return err
		}
	}
	return nil
}

func (t *Template) node(n parse.Node, metric bool) error {
	switch n := n.(type) {
	case *parse.TextNode, *parse.CommentNode:
		return nil
	case *parse.ActionNode:
		return t.pipe(n.Pipe, metric)
	case *parse.IfNode:
		return t.branch(&n.BranchNode, metric, metric)
	case *parse.WithNode:
		return t.branch(&n.BranchNode, metric, false)
	case *parse.RangeNode:
		return t.branch(&n.BranchNode, metric, false)
	}
	t.any = true
	return nil
}

func (t *Template) branch(b *parse.BranchNode, metric, inside bool) error {
	return errors.Join(t.pipe(b.Pipe, metric), t.list(b.List, inside), t.list(b.ElseList, metric))
}

func (t *Template) pipe(p *parse.PipeNode, metric bool) error {
	for i, c := range p.Cmds {
		if err := t.command(c.Args, metric, i > 0); err != nil {
			return err
		}
	}
	return nil
}

// command inspects a command; piped says that it gets one more argument.
func (t *Template) command(args []parse.Node, metric, piped bool) error {
	for i, a := range args {
		var err error
		switch a := a.(type) {
		case *parse.FieldNode:
			var rest []parse.Node
			if i == 0 {
				rest = args[1:]
			}
			err = t.field(a.Ident, rest, metric, piped && i == 0)
		case *parse.VariableNode:
			if a.Ident[0] == "$" {
				t.any = true // the metric, by another name
			}
		case *parse.PipeNode:
			err = t.pipe(a, metric)
		case *parse.IdentifierNode, *parse.StringNode, *parse.NumberNode, *parse.BoolNode, *parse.NilNode:
		default:
			t.any = true
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// field inspects .Name, .Tag and so on with the arguments that follow.
func (t *Template) field(ident []string, args []parse.Node, metric, piped bool) error {
	if !metric {
		t.any = true
		return nil
	}
	switch name := ident[0]; name {
	case "Name":
		return nil
	case "Time":
		t.any = true
		return nil
	case "Tag", "Field":
		if len(args) != 1 && !(piped && len(args) == 0) {
			return fmt.Errorf(`.%s takes the name of one, as in {{ .%s "host" }}`, name, name)
		}
		t.depend(name, args)
		return nil
	}
	return fmt.Errorf("a metric has no .%s: use .Name, .Tag, .Field or .Time", ident[0])
}

func (t *Template) depend(name string, args []parse.Node) {
	if name == "Tag" && len(args) == 1 {
		if s, ok := args[0].(*parse.StringNode); ok {
			t.tags = append(t.tags, s.Text)
			return
		}
	}
	t.any = true
}
