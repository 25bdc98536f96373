#!/bin/sh
# SPDX-License-Identifier: MIT
# What a shell script typically does: files, pipes, and a process for each small thing. UnixBench's
# "Shell Scripts" tests run a script of this kind, one or eight copies at a time.
set -eu
work=${TMPDIR:-/tmp}/script.$$
mkdir "$work"
cd "$work"

i=0
while [ $i -lt 40 ]; do
    echo "line $((i * 7919 % 101)) of a text that is sorted"
    i=$((i + 1))
done >text

sort -k2n text >sorted
od -c sorted | sort -n -k1 >dumped
grep -c line sorted | tee counted >/dev/null
tr a-z A-Z <sorted | grep LINE | wc -l >words
sed 's/line/row/' sorted | awk '{ sum += $2 } END { print sum }' >summed
[ "$(cat counted)" = 40 ]
[ "$(cat words)" -eq 40 ]

cd /
rm -r "$work"
