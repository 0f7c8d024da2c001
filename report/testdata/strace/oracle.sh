#!/bin/sh
# oracle.sh STRACE_SOURCE - recreates the *.txt files of this folder: tables printed by strace itself
# from the numbers in *.numbers. STRACE_SOURCE is a built tree of strace 7.2 that may be changed.
# Every file is named by the numbers and the options that made it; ALL stands for all columns.
# The *.recorded files are what unchanged straces printed, for true CPU times: strace 6.1 as packaged by
# Debian 12 and 7.2, in that order: strace -c -S name -U PLAIN find /usr/share /usr/lib, PLAIN being the first
# eight of all columns.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$1"
if ! grep -q oracle_load src/count.c; then
	cp "$here/oracle.c" src/
	awk '/^call_summary\(FILE/ { at = NR }
	     { line[NR] = $0 }
	     END { for (i = 1; i <= NR; i++) {
			if (i == at - 1) print "#include \"oracle.c\""
			print line[i]
			if (i == at + 1) print "\toracle_load();"
	     } }' src/count.c >src/count.c.new
	mv src/count.c.new src/count.c
fi
nice -n 10 make -j2 >/dev/null
rm -f "$here"/*.txt
all=time,total-time,min-time,max-time,avg-time,calls,errors,name,wall-total,wall-min,wall-max,wall-avg
run() { # run NUMBERS OPTIONS...
	numbers=$1
	shift
	options=$(printf ' %s' "$@" | sed "s/$all/ALL/")
	SUMMARY_NUMBERS="$here/$numbers.numbers" src/strace -o "$here/$numbers$options.txt" "$@" true
}
for numbers in real small huge two-abis zero; do
	run $numbers -c
	run $numbers -c -U $all
	for key in total-time min-time max-time avg-time calls errors name wall-total wall-min wall-max wall-avg; do
		[ $numbers = real ] && run $numbers -c -S $key -U $all
	done
done
run real -c -S none
run real -c -S nothing -U name,calls,errors
run real -c -U errors,count
run real -c -U syscall-name,longest,shortest
run real -c -U error
run huge -c -U name,max-time,min-time,errors
