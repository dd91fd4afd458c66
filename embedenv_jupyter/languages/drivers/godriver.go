// Go cells, interpreted by yaegi: a cell is cut into declarations and runs of statements.
package main

import (
	"bufio"
	"fmt"
	"go/scanner"
	"go/token"
	"os"
	"regexp"

	"github.com/traefik/yaegi/interp"
	"github.com/traefik/yaegi/stdlib"
)

var wholeFile = regexp.MustCompile(`(?m)^package\s+main\b`)

type part struct {
	isDeclaration bool
	source        string
}

func declares(first token.Token) bool {
	switch first {
	case token.IMPORT, token.TYPE, token.FUNC, token.CONST, token.VAR:
		return true
	}
	return false
}

func split(cell string) (parts []part) {
	file := token.NewFileSet().AddFile("", 1, len(cell))
	var tokens scanner.Scanner
	tokens.Init(file, []byte(cell), nil, 0)
	depth, start, first := 0, -1, token.ILLEGAL
	end := func(offset int) {
		if start < 0 {
			return
		}
		source := cell[start:offset]
		if last := len(parts) - 1; !declares(first) && last >= 0 && !parts[last].isDeclaration {
			parts[last].source += "\n" + source
		} else {
			parts = append(parts, part{declares(first), source})
		}
		start = -1
	}
	for {
		position, found, _ := tokens.Scan()
		offset := file.Offset(position)
		switch found {
		case token.EOF:
			end(len(cell))
			return
		case token.LBRACE, token.LPAREN, token.LBRACK:
			depth++
		case token.RBRACE, token.RPAREN, token.RBRACK:
			depth--
		}
		if found == token.SEMICOLON && depth == 0 {
			end(offset)
		} else if start < 0 {
			start, first = offset, found
		}
	}
}

func evaluate(interpreter *interp.Interpreter, source string) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic: %v", reason)
		}
	}()
	_, err = interpreter.Eval(source)
	return
}

func word(interpreter *interp.Interpreter, path string) string {
	content, err := os.ReadFile(path)
	parts := []part{{true, string(content)}}
	if !wholeFile.Match(content) {
		parts = split(string(content))
	}
	for _, next := range parts {
		if err == nil {
			err = evaluate(interpreter, next.source)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return "error"
	}
	return "ok"
}

func main() {
	interpreter := interp.New(interp.Options{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
	interpreter.Use(stdlib.Symbols)
	interpreter.ImportUsed()
	cells, _ := os.Open(os.Getenv("CELL_IN"))
	answers, _ := os.OpenFile(os.Getenv("CELL_OUT"), os.O_WRONLY, 0)
	fmt.Fprintln(answers, "ready")
	for lines := bufio.NewScanner(cells); lines.Scan(); {
		fmt.Fprintln(answers, word(interpreter, lines.Text()))
	}
}
