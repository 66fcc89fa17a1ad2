#!/bin/bash
# The pictures of what trained agents do: trains them, draws them, films them. Needs the extras
# "classic-control" and "box2d". From the top of the clone:
#
#     bash docs/images/make.sh [LOGS]
#
# Diagnostics: python -m scripts.failing_trainings --folder docs/images
set -euo pipefail
images=$(dirname "$0")
logs=${1:-logs/images}
export OMP_NUM_THREADS=1

train() {
    [ -e "$logs/$1/$2_1" ] || sb3-dpg train --algo "$1" --env "$2" --seed 0 --num-threads 1 --log-folder "$logs" --verbose 0
}

train copdacq MountainCarContinuous-v0
train copdacq Pendulum-v1
train bnddpg Pendulum-v1
train bnddpg BipedalWalker-v3

# An action at one end, as A(s, a) of COPDACQ is linear in it
sb3-dpg plot-policy "$logs/copdacq/MountainCarContinuous-v0_1/MountainCarContinuous-v0.zip" --algo copdacq \
    --quantity mu v q --action 1 --labels position velocity --figure "$images/policy_copdacq_mountain_car.png"
for algo in copdacq bnddpg; do
    sb3-dpg plot-policy "$logs/$algo/Pendulum-v1_1/Pendulum-v1.zip" --algo $algo --quantity mu v q --action 1 \
        --dims 0 2 --sine 1 --labels "angle (0: upright)" velocity --figure "$images/policy_${algo}_pendulum.png"
done

film() {
    python -m scripts.animation "$logs/$1/$2_1/$3.zip" --algo "$1" --env "$2" --output "$images/$4.gif" \
        --steps "$5" --every "$6" --width "$7"
}

film bnddpg Pendulum-v1 Pendulum-v1 bnddpg_pendulum 200 2 240
film copdacq MountainCarContinuous-v0 MountainCarContinuous-v0 copdacq_mountain_car 200 2 240
# The agent of the best evaluation: that after 50,000 of 100,000 steps
film bnddpg BipedalWalker-v3 best_model bipedal_walker 300 3 300
