#!/usr/bin/env bash
# From a dataset to the bundles that ship: trained, gated, signed, with their model cards.
#
#   train/release.sh --data fer2013.npz --key release.key [--password-file FILE] [--runs DIR]
#                    [--to DIR] [--cards DIR] [--budget NAME] [RECIPE...]
#   train/release.sh --photos PHOTOS.zip [--backgrounds DIR]... --key release.key [...] [RECIPE]
#
# RECIPE is edge-base, edge-small and edge-nano unless named: the large one is the teacher of the others.
# A teacher that a recipe names is the one in --to, if it is there. Two bundles come of each run, one a
# head: NAME.fer and NAME-fer2013.fer. With --photos it is the face detector's: detector unless named.
# It may be cut off at any moment and called again: finished runs and bundles of the same network are
# left as they are, a run that was cut off goes on. A run of another recipe is refused. Of a finished student
# whose teacher is another by now, train warns; for a new one, take its run folder away.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
shipped=$root/fer_edge/models
runs=runs/release to=$shipped cards=$root/docs/models budget=strict
data='' photos='' key='' password=() backgrounds=()
recipes=()
while (($#)); do
    case $1 in
        --backgrounds) backgrounds+=("${2:?--backgrounds takes a folder}"); shift 2 ;;
        --data | --photos | --key | --runs | --to | --cards | --budget) declare "${1#--}=${2:?$1 takes a value}"; shift 2 ;;
        --password-file) password=(--password-file "${2:?$1 takes a value}"); shift 2 ;;
        -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
        -*) echo "release.sh: no option $1; see --help" >&2; exit 2 ;;
        *) recipes+=("$1"); shift ;;
    esac
done
[[ -e ${photos:-$data} && -f $key ]] || { echo "release.sh: needs --data or --photos, and --key, that are there; see --help" >&2; exit 2; }
if [[ $photos ]]; then
    ((${#recipes[@]})) || recipes=(detector)
else
    ((${#recipes[@]})) || recipes=(edge-base edge-small edge-nano)
fi
read -ra edge <<<"${FER_EDGE:-fer-edge}"
mkdir -p "$runs/gated" "$to" "$cards"
to=$(cd "$to" && pwd)

train() { # RUN RECIPE DATA [OPTION...]
    local resume=()
    [[ ! -f $1/data.json ]] || resume=(--resume)
    "${edge[@]}" train "$2" "${resume[@]}" --data "$3" -o "$1" "${@:4}"
}

# the teachers that a recipe names, by their paths where they are not those of the package
teachers() { # RECIPE
    local file=$1 names name found=()
    [[ -f $file ]] || file=$root/fer_edge/train/recipes/$1.toml
    names=$(python3 -c 'import sys, tomllib
with open(sys.argv[1], "rb") as file:
    print(*tomllib.load(file).get("distill", {}).get("teachers", []))' "$file")
    for name in $names; do
        [[ $to == "$shipped" || ! -f $to/$name.fer ]] || name=$to/$name.fer
        found+=("\"$name\"")
    done
    (IFS=,; echo "distill.teachers=[${found[*]}]")
}

# bundles are made in a folder of their own and put in place whole
release() { # BUNDLE RUN NETWORK DATA [OPTION...]
    local gated=$runs/gated/$1.fer card
    if [[ ! $gated -nt $3 ]]; then
        "${edge[@]}" export "$2" --data "$4" --int8 --budget "$budget" -o "$runs/gated" --replace "${@:5}"
    fi
    if [[ ! -f $to/$1.fer || $(sha256sum <"$gated") != "$(cat "$runs/gated/$1.published" 2>/dev/null)" ]]; then
        "${edge[@]}" bundle sign "$gated" --secret-key "$key" "${password[@]}" -o "$runs/gated/$1.signed"
        card=$(mktemp -d)
        "${edge[@]}" bundle extract "$gated" MODEL_CARD.md -o "$card" >/dev/null
        mv "$card/MODEL_CARD.md" "$cards/$1.md"
        rmdir "$card"
        mv "$runs/gated/$1.signed" "$to/$1.fer"
        sha256sum <"$gated" >"$runs/gated/$1.published"
    fi
    "${edge[@]}" bundle verify "$to/$1.fer" --key "${key%.key}.pub"
}

for recipe in "${recipes[@]}"; do
    name=$(basename "$recipe" .toml)
    run=$runs/$name
    if [[ $photos ]]; then
        behind=$(printf '"%s",' "${backgrounds[@]}")
        train "$run" "$recipe" "$photos" --set "frames.backgrounds=[${behind#'"",'}]"
        release "$name" "$run" "$run/model.keras" "$photos"
        continue
    fi
    train "$run" "$recipe" "$data" --set "$(teachers "$recipe")"
    release "$name" "$run" "$run/model.keras" "$data" \
        --head votes --slim --report "$runs/reports/$name"
    release "$name-fer2013" "$run" "$run/model-fer2013.keras" "$data" \
        --head fer2013 --slim --report "$runs/reports/$name-fer2013"
done
du -ch "$to"/*.fer | tail -n 1
