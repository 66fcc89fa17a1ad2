#!/bin/bash
# The pictures of what trained agents do: trains them, draws them, films them. Needs the extra "classic-control".
#
#     bash docs/images/make.sh [LOGS]
#
# Diagnostics: python -m scripts.failing_trainings --folder docs/images
set -euo pipefail
images=$(dirname "$0")
logs=${1:-logs/images}
export OMP_NUM_THREADS=1

# A folder with a video to a GIF: folder, GIF, frames a second, width
gif() {
    local ffmpeg
    ffmpeg=$(python -c "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())")
    "$ffmpeg" -loglevel error -y -i "$1"/*.mp4 \
        -vf "fps=$3,scale=$4:-1:flags=lanczos,split[a][b];[a]palettegen=max_colors=32[p];[b][p]paletteuse=dither=none" "$2"
}

train() {
    [ -e "$logs/$1/$2_1" ] || sb3-dpg train --algo "$1" --env "$2" --seed 0 --num-threads 1 --log-folder "$logs" --verbose 0
}

train copdacq MountainCarContinuous-v0
train copdacq Pendulum-v1
train bnddpg Pendulum-v1

# An action at one end, as A(s, a) of COPDACQ is linear in it
sb3-dpg plot-policy "$logs/copdacq/MountainCarContinuous-v0_1/MountainCarContinuous-v0.zip" --algo copdacq \
    --quantity mu v q --action 1 --labels position velocity --figure "$images/policy_copdacq_mountain_car.png"
for algo in copdacq bnddpg; do
    sb3-dpg plot-policy "$logs/$algo/Pendulum-v1_1/Pendulum-v1.zip" --algo $algo --quantity mu v q --action 1 \
        --dims 0 2 --sine 1 --labels "angle (0: upright)" velocity --figure "$images/policy_${algo}_pendulum.png"
done

film() {
    rm -rf "$logs/film"
    sb3-dpg record-video --algo "$1" --env "$2" --folder "$logs" --n-timesteps "$3" --deterministic --output-folder "$logs/film"
    gif "$logs/film" "$images/$1_$4.gif" "$5" 240
}

film bnddpg Pendulum-v1 400 pendulum 20
film copdacq MountainCarContinuous-v0 200 mountain_car 20
