package configs

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// fail2ban evaluates bantime.formula as Python. What its users write there is arithmetic, and that is all that is
// understood here: numbers, ban.Time (seconds), ban.Count (earlier bans), banFactor, + - * / // % **, << >>, comparisons,
// "a if b else c", parentheses, and the functions below. There is nothing in it that could loop.
//
// A formulaParser reads by precedence, as in Python's reference, section 6.17. It makes closures.
type formulaParser struct {
	tokens []string
	at     int
}

// A term is a part of a formula.
type term func(*formulaInput) float64

type formulaInput struct{ time, count, factor float64 }

// maxFormula bounds what a formula may be long, and so how deep it may nest.
const maxFormula = 1000 // bytes

// compileFormula makes a func of a formula, for pipeline.Escalation.Formula.
func compileFormula(text string) (formula func(banTime float64, count int, factor float64) float64, err error) {
	const hint = "it is arithmetic with ban.Time, ban.Count and banFactor, as in ban.Time * (1<<(ban.Count if ban.Count<20 else 20)) * banFactor"
	if len(text) > maxFormula {
		return nil, mistake(hint, "is longer than %d bytes", maxFormula)
	}
	tokens, err := formulaTokens(text)
	if err != nil {
		return nil, mistake(hint, "%v", err)
	}
	p := &formulaParser{tokens: tokens}
	defer func() {
		if wrong, ok := recover().(formulaError); ok {
			formula, err = nil, mistake(hint, "%s", string(wrong))
		}
	}()
	t := p.choice()
	if p.at < len(p.tokens) {
		p.fail("%q is not expected", p.tokens[p.at])
	}
	formula = func(banTime float64, count int, factor float64) float64 {
		return t(&formulaInput{banTime, float64(count), factor})
	}
	for _, count := range []int{1, 2, 20} {
		if x := formula(600, count, 1); math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, mistake(hint, "it is no number for ban.Time = 600 and ban.Count = %d", count)
		}
	}
	return formula, nil
}

// formulaTokens takes a formula apart. The operators of two signs come before those of one.
func formulaTokens(text string) (tokens []string, err error) {
	word := func(c byte) bool {
		return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '.'
	}
	for rest := strings.TrimSpace(text); rest != ""; rest = strings.TrimSpace(rest) {
		n := span(rest, word)
		switch {
		case n > 0:
		case len(rest) > 1 && strings.Contains("** // << >> <= >= == !=", rest[:2]) && rest[1] != ' ':
			n = 2
		case strings.ContainsRune("+-*/%<>(),", rune(rest[0])):
			n = 1
		default:
			return nil, fmt.Errorf("%q is not understood", rest[:1])
		}
		tokens = append(tokens, rest[:n])
		rest = rest[n:]
	}
	return tokens, nil
}

// A formulaError is what the parser panics with: it is deep in a recursion when it finds a mistake.
type formulaError string

func (p *formulaParser) fail(format string, args ...any) {
	panic(formulaError(fmt.Sprintf(format, args...)))
}

// next is the token that comes; "" at the end.
func (p *formulaParser) next() string {
	if p.at < len(p.tokens) {
		return p.tokens[p.at]
	}
	return ""
}

func (p *formulaParser) take(token string) bool {
	if p.next() != token {
		return false
	}
	p.at++
	return true
}

func (p *formulaParser) want(token string) {
	if !p.take(token) {
		p.fail("%q is missing", token)
	}
}

// choice is "a if b else c".
func (p *formulaParser) choice() term {
	yes := p.compare()
	if !p.take("if") {
		return yes
	}
	condition := p.compare()
	p.want("else")
	no := p.choice()
	return func(in *formulaInput) float64 {
		if condition(in) != 0 {
			return yes(in)
		}
		return no(in)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

var comparisons = map[string]func(a, b float64) float64{
	"<":  func(a, b float64) float64 { return truth(a < b) },
	">":  func(a, b float64) float64 { return truth(a > b) },
	"<=": func(a, b float64) float64 { return truth(a <= b) },
	">=": func(a, b float64) float64 { return truth(a >= b) },
	"==": func(a, b float64) float64 { return truth(a == b) },
	"!=": func(a, b float64) float64 { return truth(a != b) },
}

func (p *formulaParser) compare() term {
	a := p.binary(0)
	if op := comparisons[p.next()]; op != nil {
		p.at++
		b := p.binary(0)
		if comparisons[p.next()] != nil {
			p.fail("a chain of comparisons is not understood")
		}
		return func(in *formulaInput) float64 { return op(a(in), b(in)) }
	}
	return a
}

// levels are the operators that bind to the left, the loosest first.
var levels = []map[string]func(a, b float64) float64{
	{"<<": func(a, b float64) float64 { return a * math.Exp2(whole(b)) }, ">>": func(a, b float64) float64 { return math.Floor(a / math.Exp2(whole(b))) }},
	{"+": func(a, b float64) float64 { return a + b }, "-": func(a, b float64) float64 { return a - b }},
	{
		"*": func(a, b float64) float64 { return a * b }, "/": func(a, b float64) float64 { return a / b },
		"//": func(a, b float64) float64 { return math.Floor(a / b) }, "%": func(a, b float64) float64 { return a - b*math.Floor(a/b) },
	},
}

// whole is NaN for what Python does not shift by.
func whole(x float64) float64 {
	if x < 0 || x != math.Floor(x) {
		return math.NaN()
	}
	return x
}

func (p *formulaParser) binary(level int) term {
	if level == len(levels) {
		return p.sign()
	}
	a := p.binary(level + 1)
	for {
		op := levels[level][p.next()]
		if op == nil {
			return a
		}
		p.at++
		left, right := a, p.binary(level+1)
		a = func(in *formulaInput) float64 { return op(left(in), right(in)) }
	}
}

func (p *formulaParser) sign() term {
	switch {
	case p.take("-"):
		a := p.sign()
		return func(in *formulaInput) float64 { return -a(in) }
	case p.take("+"):
		return p.sign()
	}
	a := p.operand()
	if !p.take("**") {
		return a
	}
	b := p.sign() // to the right, and over a sign
	return func(in *formulaInput) float64 { return math.Pow(a(in), b(in)) }
}

// functions are those that formulas are seen to use, with how many arguments they take; 0 is any number.
var functions = map[string]struct {
	args int
	call func(args []float64) float64
}{
	"float":      {1, func(x []float64) float64 { return x[0] }},
	"int":        {1, func(x []float64) float64 { return math.Trunc(x[0]) }},
	"round":      {1, func(x []float64) float64 { return math.RoundToEven(x[0]) }},
	"abs":        {1, func(x []float64) float64 { return math.Abs(x[0]) }},
	"min":        {0, func(x []float64) float64 { return fold(x, math.Min) }},
	"max":        {0, func(x []float64) float64 { return fold(x, math.Max) }},
	"pow":        {2, func(x []float64) float64 { return math.Pow(x[0], x[1]) }},
	"math.pow":   {2, func(x []float64) float64 { return math.Pow(x[0], x[1]) }},
	"math.exp":   {1, func(x []float64) float64 { return math.Exp(x[0]) }},
	"math.log":   {1, func(x []float64) float64 { return math.Log(x[0]) }},
	"math.sqrt":  {1, func(x []float64) float64 { return math.Sqrt(x[0]) }},
	"math.floor": {1, func(x []float64) float64 { return math.Floor(x[0]) }},
	"math.ceil":  {1, func(x []float64) float64 { return math.Ceil(x[0]) }},
}

func fold(x []float64, f func(a, b float64) float64) float64 {
	for len(x) > 1 {
		x = append([]float64{f(x[0], x[1])}, x[2:]...)
	}
	return x[0]
}

func (p *formulaParser) operand() term {
	token := p.next()
	p.at++
	switch token {
	case "":
		p.fail("something is missing at its end")
	case "(":
		t := p.choice()
		p.want(")")
		return t
	case "ban.Time":
		return func(in *formulaInput) float64 { return in.time }
	case "ban.Count":
		return func(in *formulaInput) float64 { return in.count }
	case "banFactor":
		return func(in *formulaInput) float64 { return in.factor }
	}
	if f, ok := functions[token]; ok {
		return p.call(token, f.args, f.call)
	}
	x, err := strconv.ParseFloat(token, 64)
	if err != nil || token[0] != '.' && (token[0] < '0' || token[0] > '9') {
		p.fail("%q is not understood", token)
	}
	return func(*formulaInput) float64 { return x }
}

func (p *formulaParser) call(name string, want int, f func([]float64) float64) term {
	p.want("(")
	args := []term{p.choice()}
	for p.take(",") {
		args = append(args, p.choice())
	}
	p.want(")")
	if want != 0 && len(args) != want {
		p.fail("%s wants %d arguments", name, want)
	}
	return func(in *formulaInput) float64 {
		values := make([]float64, len(args))
		for i, arg := range args {
			values[i] = arg(in)
		}
		return f(values)
	}
}
