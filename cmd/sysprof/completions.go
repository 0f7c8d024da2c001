package main

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pborman/getopt/v2"

	"sysprof/profile/changes"
	"sysprof/profile/label"
	"sysprof/report"
	"sysprof/syscalltab"
)

// What --completions writes is made from the options as they are declared, so that none is forgotten.

// argument is what a shell can offer for the argument of an option.
type argument struct {
	kind  argumentKind
	words []string // that are offered, of wordOf and listOf
}

type argumentKind uint8

const (
	anything argumentKind = iota // nothing can be offered
	wordOf
	listOf // with commas between them
	aFile
	aProcess
	aUser
)

// argumentOf is what the argument of an option is, by its long name, or its short one if it has none.
func argumentOf(name string) argument {
	switch name {
	case "output", "json", "csv", "pprof", "html", "from-json", "against", "view", "trace-path", "cgroup":
		return argument{kind: aFile}
	case "attach":
		return argument{kind: aProcess}
	case "user":
		return argument{kind: aUser}
	case "e":
		return argument{listOf, slices.Concat([]string{"trace=", "status="}, callWords())}
	case "trace", "histogram":
		return argument{listOf, callWords()}
	case "status":
		return argument{listOf, statusNames}
	case "summary-sort-by":
		return argument{wordOf, report.SortKeys()}
	case "summary-columns":
		return argument{listOf, report.ColumnNames()}
	case "labels":
		return argument{listOf, label.Names()}
	case "by":
		return argument{listOf, label.GroupNames()}
	case "fail-on":
		return argument{listOf, changes.Names()}
	case "cpu":
		return argument{wordOf, []string{"auto", "off"}}
	case "time":
		return argument{wordOf, []string{"wall", "cpu"}}
	case "stacks":
		return argument{wordOf, []string{"off", "fp", "full"}}
	case "engine":
		return argument{wordOf, engineNames}
	case "controls":
		return argument{wordOf, []string{"auto", "off", "every"}}
	case "completions":
		return argument{wordOf, shells()}
	}
	return argument{}
}

// callWords are the classes and the calls that -e takes.
func callWords() []string {
	calls := make(map[string]bool)
	for _, abi := range syscalltab.Native() {
		for _, name := range abi.Each() {
			calls[name] = true
		}
	}
	return slices.Concat([]string{"all", "none"}, syscalltab.Classes(), slices.Sorted(maps.Keys(calls)))
}

// offered is an option as a shell is told of it.
type offered struct {
	short, long string // "": none
	takes       bool   // an argument
	optional    bool   // but may be without, and has it behind = only
	argument    argument
	help        string // in a few words; "": none
}

// names are -x and --long, as far as there are.
func (o *offered) names() (names []string) {
	if o.short != "" {
		names = append(names, "-"+o.short)
	}
	if o.long != "" {
		names = append(names, "--"+o.long)
	}
	return names
}

// optionalArguments are options as declared with declarations.optional that have no short name.
var optionalArguments = []string{"histogram", "silent", "silence"}

// offered lists the options.
func (d declarations) offered() (list []offered) {
	d.set.VisitAll(func(opt getopt.Option) {
		long, short := opt.LongName(), opt.ShortName()
		list = append(list, offered{
			short: short, long: long, takes: !opt.IsFlag(), optional: slices.Contains(optionalArguments, long),
			argument: argumentOf(cmp.Or(long, short)), help: helpOf(long, short),
		})
	})
	return list
}

// helpOf is what the first line of --help about an option says.
func helpOf(long, short string) string {
	name := "--" + long
	if long == "" {
		name = "-" + short
	}
	line := regexp.MustCompile(`(?m)^  .*(?:^|[ ,])` + regexp.QuoteMeta(name) + `(?:[=\[ ]\S*)? {2,}(\S.*)$`)
	if found := line.FindStringSubmatch(helpText); found != nil {
		return strings.TrimRight(found[1], ",;:")
	}
	return ""
}

// completions are the scripts for each shell.
var completions = map[string]func([]offered) string{"bash": bashCompletion, "fish": fishCompletion, "zsh": zshCompletion}

func shells() []string { return []string{"bash", "fish", "zsh"} }

// chooseCompletions takes the argument of --completions.
func (o *options) chooseCompletions(shell string) error {
	if completions[shell] == nil {
		return fmt.Errorf("%q is no shell that there are completions for; there are %s", shell, strings.Join(shells(), ", "))
	}
	o.completions = shell
	return nil
}

// bashCompletion needs bash alone; where package bash-completion is there, it completes the command's own words.
func bashCompletion(options []offered) string {
	var names, taking []string
	var cases strings.Builder
	letters := ""
	for i := range options {
		o := &options[i]
		names = append(names, o.names()...)
		if !o.takes {
			continue
		}
		if o.short != "" {
			taking, letters = append(taking, "-"+o.short), letters+o.short
		}
		if o.long != "" && !o.optional {
			taking = append(taking, "--"+o.long)
		}
		reply := ""
		switch a := o.argument; a.kind {
		case wordOf:
			reply = fmt.Sprintf(`COMPREPLY=($(compgen -W '%s' -- "$cur"))`, strings.Join(a.words, " "))
		case listOf:
			reply = fmt.Sprintf("_sysprof_list '%s'", strings.Join(a.words, " "))
		case aFile:
			reply = "_sysprof_files"
		case aProcess:
			reply = `_sysprof_list "$(cd /proc && echo [0-9]*)"`
		case aUser:
			reply = `COMPREPLY=($(compgen -u -- "$cur"))`
		default:
			continue
		}
		pattern := o.names()
		if o.long == "trace" || o.long == "status" {
			pattern = append(pattern, o.long) // of -e trace=
		}
		fmt.Fprintf(&cases, "\t%s) %s ;;\n", strings.Join(pattern, "|"), reply)
	}
	return fmt.Sprintf(`# bash completion for sysprof, made by sysprof --completions=bash

# _sysprof_list offers words for the last item of a list with commas.
_sysprof_list() {
	local before=
	[[ $cur == *,* ]] && before=${cur%%,*},
	COMPREPLY=($(compgen -P "$before" -W "$1" -- "${cur##*,}"))
	[[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
}

# _sysprof_files offers files, whose names may have blanks in them.
_sysprof_files() {
	local IFS=$'\n'
	compopt -o filenames 2>/dev/null
	COMPREPLY=($(compgen -f -- "$cur"))
}

_sysprof() {
	local IFS=$' \t\n' cur=${COMP_WORDS[COMP_CWORD]} option= i word
	COMPREPLY=()
	# The words before the one that is completed: options with their arguments, up to the command. bash cuts --time=cpu
	# at its =, which is a word of its own.
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [[ $word == = ]]; then
			option=${COMP_WORDS[i - 1]}
			((i + 1 < COMP_CWORD)) && { ((i++)); option=; }
			continue
		fi
		if [[ -n $option && ${COMP_WORDS[i]} != = ]]; then
			option=
			continue
		fi
		case $word in
		--) ((i++)); break ;;
		%s) option=$word ;;
		-[!-]*[%s]) option=-${word: -1} ;;
		-*) ;;
		*) break ;;
		esac
	done
	if [[ -z $option && $i -lt $COMP_CWORD ]] || [[ -z $option && ${COMP_WORDS[i - 1]} == -- && $i -eq $COMP_CWORD ]]; then
		if declare -F _command_offset >/dev/null; then
			_command_offset "$i"
		elif ((i == COMP_CWORD)); then
			COMPREPLY=($(compgen -c -- "$cur"))
		else
			_sysprof_files
		fi
		return
	fi
	if [[ $cur == = ]]; then
		option=${COMP_WORDS[COMP_CWORD - 1]} cur=
	fi
	case $option in
	"") ;;
%s	*) return ;;
	esac
	[[ -n $option ]] && return
	if [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W '%s' -- "$cur"))
	else
		COMPREPLY=($(compgen -c -- "$cur"))
	fi
}
complete -F _sysprof sysprof
`, strings.Join(taking, "|"), letters, cases.String(), strings.Join(names, " "))
}

// zshCompletion is a function for a folder of fpath.
func zshCompletion(options []offered) string {
	var out strings.Builder
	out.WriteString("#compdef sysprof\n# zsh completion for sysprof, made by sysprof --completions=zsh\n\n_arguments -s -S \\\n")
	for i := range options {
		o := &options[i]
		action := ""
		if o.takes {
			what := strings.ReplaceAll(cmp.Or(o.long, o.short), "-", " ")
			switch a := o.argument; a.kind {
			case wordOf:
				action = fmt.Sprintf(":%s:(%s)", what, strings.Join(a.words, " "))
			case listOf:
				action = fmt.Sprintf(":%s:_values -s , %s %s", what, quoted(what), strings.Join(a.words, " "))
			case aFile:
				action = fmt.Sprintf(":%s:_files", what)
			case aProcess:
				action = fmt.Sprintf(":%s:_pids", what)
			case aUser:
				action = fmt.Sprintf(":%s:_users", what)
			default:
				action = fmt.Sprintf(":%s: ", what)
			}
		}
		if o.optional {
			action = ":" + action // two colons: it may be missing
		}
		help := strings.NewReplacer("[", `\[`, "]", `\]`, ":", `\:`, `\`, `\\`).Replace(o.help)
		for _, name := range o.names() {
			switch long := strings.HasPrefix(name, "--"); {
			case o.optional:
				name += "=-"
			case o.takes && long:
				name += "="
			case o.takes:
				name += "+"
			}
			fmt.Fprintf(&out, "\t%s \\\n", quoted("*"+name+"["+help+"]"+action))
		}
	}
	out.WriteString("\t'(-)1:command: _command_names -e' \\\n\t'*::arguments: _normal'\n")
	return out.String()
}

// fishCompletion is a file for fish's folder of completions.
func fishCompletion(options []offered) string {
	var out strings.Builder
	out.WriteString("# fish completion for sysprof, made by sysprof --completions=fish\n\ncomplete -c sysprof -x -a '(__fish_complete_subcommand)'\n")
	for i := range options {
		o := &options[i]
		line := "complete -c sysprof"
		if o.short != "" {
			line += " -s " + quoted(o.short)
		}
		if o.long != "" {
			line += " -l " + o.long
		}
		switch a := o.argument; {
		case o.optional:
			line += " -f -a " + quoted(strings.Join(a.words, " "))
		case o.takes:
			switch a.kind {
			case wordOf:
				line += " -x -a " + quoted(strings.Join(a.words, " "))
			case listOf:
				line += " -x -a " + quoted(fmt.Sprintf("(__fish_append , %s)", strings.Join(a.words, " ")))
			case aFile:
				line += " -r -F"
			case aProcess:
				line += " -x -a '(__fish_append , (__fish_complete_pids))'"
			case aUser:
				line += " -x -a '(__fish_complete_users)'"
			default:
				line += " -x"
			}
		}
		if o.help != "" {
			line += " -d " + quoted(o.help)
		}
		out.WriteString(line + "\n")
	}
	return out.String()
}

// quoted is a word in quotes, as all three shells take it.
func quoted(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
