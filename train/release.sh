#!/usr/bin/env bash
# From a dataset to the bundles that ship: trained, gated, signed, with their model cards.
#
#   train/release.sh --data fer2013.npz --key release.key [--password-file FILE] [--runs DIR]
#                    [--to DIR] [--cards DIR] [--budget NAME] [RECIPE...]
#
# RECIPE is edge-nano, edge-small and edge-base unless named. Two bundles come of each run, one a head:
# NAME.fer and NAME-fer2013.fer. It may be cut off at any moment and called again: finished runs and
# bundles of the same network are left as they are, a run that was cut off goes on.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
runs=runs/release to=$root/fer_edge/models cards=$root/docs/models budget=strict
data='' key='' password=()
recipes=()
while (($#)); do
    case $1 in
        --data | --key | --runs | --to | --cards | --budget) declare "${1#--}=${2:?$1 takes a value}"; shift 2 ;;
        --password-file) password=(--password-file "${2:?$1 takes a value}"); shift 2 ;;
        -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
        -*) echo "release.sh: no option $1; see --help" >&2; exit 2 ;;
        *) recipes+=("$1"); shift ;;
    esac
done
[[ -e $data && -f $key ]] || { echo "release.sh: needs --data and --key that are there; see --help" >&2; exit 2; }
((${#recipes[@]})) || recipes=(edge-nano edge-small edge-base)
read -ra edge <<<"${FER_EDGE:-fer-edge}"
heads=(votes fer2013)
mkdir -p "$runs/gated" "$to" "$cards"

# bundles are made in a folder of their own and put in place whole
publish() { # NAME
    local gated=$runs/gated/$1.fer card
    "${edge[@]}" bundle sign "$gated" --secret-key "$key" "${password[@]}" -o "$runs/gated/$1.signed"
    card=$(mktemp -d)
    "${edge[@]}" bundle extract "$gated" MODEL_CARD.md -o "$card" >/dev/null
    mv "$card/MODEL_CARD.md" "$cards/$1.md"
    rmdir "$card"
    mv "$runs/gated/$1.signed" "$to/$1.fer"
    sha256sum <"$gated" >"$runs/gated/$1.published"
}

for recipe in "${recipes[@]}"; do
    name=$(basename "$recipe" .toml)
    run=$runs/$name
    if [[ -f $run/data.json ]]; then
        "${edge[@]}" train --resume --data "$data" -o "$run"
    else
        "${edge[@]}" train "$recipe" --data "$data" -o "$run"
    fi
    for head in "${heads[@]}"; do
        bundle=$name network=$run/model.keras
        if [[ $head != "${heads[0]}" ]]; then
            bundle=$name-$head network=$run/model-$head.keras
        fi
        gated=$runs/gated/$bundle.fer
        if [[ ! $gated -nt $network ]]; then
            "${edge[@]}" export "$run" --data "$data" --head "$head" --int8 --slim --budget "$budget" \
                --report "$runs/reports/$bundle" -o "$runs/gated"
        fi
        if [[ ! -f $to/$bundle.fer || $(sha256sum <"$gated") != "$(cat "$runs/gated/$bundle.published" 2>/dev/null)" ]]; then
            publish "$bundle"
        fi
        "${edge[@]}" bundle verify "$to/$bundle.fer" --key "${key%.key}.pub"
    done
done
du -ch "$to"/*.fer | tail -n 1
