#!/bin/sh
# Reruns the study: run.sh <folder of the data> [folder to write to [part]]
# The folder holds parallel-qa/, parallel-sentences/, mkqa/, squadshifts/, tatoeba/ and xquad-r/. Parts, in their order:
# validation, strategies, arms, terms, recipe, target, transfer. Each takes up what is finished.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
data=$(cd "$1" && pwd)
out=${2:-outputs/hybrid_study}
part=${3:-all}
hr=${HYBRID_RETRIEVAL:-hybrid-retrieval}
xquad="benchmark=xquad_r benchmark.path=$data/xquad-r"
study="experiment=hybrid_study data.path=$data benchmark.path=$data/xquad-r"
english_teacher="loss.teacher_language=en loss.term_options.teacher_alignment.temperature=0.02"

wanted() { [ "$part" = all ] || [ "$part" = "$1" ]; }

sweep() { # <name> overrides...
  folder=$out/$1
  shift
  $hr train -m $study "$@" hydra.sweep.dir="$folder"
}

evaluated() { # <model> <folder> overrides...
  model=$1 folder=$2
  shift 2
  [ -f "$folder/metrics.json" ] || $hr evaluate model="$model" precision=fast "$@" hydra.run.dir="$folder"
}

$hr prepare

# Temperature and learning rate, on two sets that are never trained on. XQuAD-R plays no part in any choice.
if wanted validation; then
  held_out() { # <model> <folder>
    for set in xlinghealth:0.2 omos-qa:0.4; do
      evaluated "$1" "$2/${set%:*}" benchmark=parallel benchmark.path="$data/parallel-qa/${set%:*}" \
        benchmark.validation_fraction="${set#*:}"
    done
  }
  held_out e5_small_q4 "$out/validation/untrained"
  for setting in 0.01:2e-5 0.02:2e-5 0.05:2e-5 0.01:5e-5 0.02:5e-5; do
    run=$out/validation/temperature-${setting%:*}-lr-${setting#*:}
    [ -d "$run/model" ] || $hr train $study trainer.max_steps=120 loss.temperature="${setting%:*}" \
      optim.lr="${setting#*:}" evaluate=false hydra.run.dir="$run"
    held_out "$run/model" "$run"
  done
fi

if wanted strategies; then
  evaluated e5_small_q4 "$out/strategies/untrained" $xquad
  sweep strategies sampler=x_x_mono,x_y,hybrid seed=1,2,3
  $hr compare "$out/strategies"
fi

# One seed each, but for the alpha that came closest to the paper's claim.
if wanted arms; then
  sweep arms-alpha sampler=hybrid sampler.alpha=0.25 seed=1
  sweep arms-alpha-75 sampler=hybrid sampler.alpha=0.75 seed=1,2,3
  sweep arms-others sampler=x_x,en_en seed=1
  sweep arms-nine-languages sampler=hybrid seed=1 'data.languages=[ar,de,en,es,hi,ru,th,tr,zh]' # without el and vi
  sweep arms-600-steps sampler=hybrid seed=1 trainer.max_steps=600 trainer.val_check_interval=200
  $hr compare "$out/strategies" "$out"/arms-* out="$out/arms"
fi

# Each on hybrid batches with alpha 0.5, seed 1.
if wanted terms; then
  term() { name=$1 && shift && sweep "terms-$name" sampler=hybrid seed=1 "$@"; }
  term distillation loss.terms.distillation=1 loss.term_options.distillation.temperature=0.02 loss.teacher_language=en
  term teacher_alignment $english_teacher loss.terms.teacher_alignment=10
  term score_agreement loss.terms.score_agreement=1 loss.term_options.score_agreement.temperature=0.02
  term alignment loss=alignment loss.temperature=0.02
  term variance loss.terms.variance=0.1
  term within_view loss.within_view=true
  term reverse loss.reverse=1
  term schedule 'sampler.alpha={start: 1.0, end: 0.0, steps: null}'
  $hr compare "$out/strategies" "$out"/terms-* out="$out/terms"
fi
