# Ends what a script of ours leaves behind when it is killed and cannot do it itself. `processes.mjs` starts it, in a group of its own.
# Standard input has lines: `group PGID` (was started), `gone PGID` (has ended), `folder PATH` (to be removed at the end). When it
# closes, the script has ended: whatever is still there is ended, too.

groups=" "
while read -r verb what; do
  case $verb in
    group) groups="$groups$what " ;;
    gone) groups="${groups%% "$what" *} ${groups#* "$what" }" ;;
    folder) set -- "$@" "$what" ;;
  esac
done

is_any_left() {
  for group in $groups; do
    kill -0 -"$group" 2>/dev/null && return 0
  done
  return 1
}

for group in $groups; do kill -TERM -"$group" 2>/dev/null; done
# Four seconds, as `stop` gives.
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  is_any_left || break
  sleep 0.2
done
for group in $groups; do kill -KILL -"$group" 2>/dev/null; done
for folder in "$@"; do rm -rf -- "$folder"; done
