#!/usr/bin/env bash
# Runs nginx with Stagedoor out of this checkout: a throw-away database and directory below run/, two
# workers, nginx-conf/smallest.conf with paths and ports of its own.
#
#   tools/demo.sh         publish a test picture, play it back, tell what happened; 0 if all of it worked
#   tools/demo.sh run     stay in the foreground, for an encoder and a player of yours
#
# TEST_NGINX_BINARY and TEST_NGINX_MODULES choose another nginx, as for the tests.
set -euo pipefail

. "$(dirname "$0")/common.sh"

mode=${1:-demo}
nginx=${TEST_NGINX_BINARY:-nginx}
modules=${TEST_NGINX_MODULES:-$("$nginx" -V 2>&1 | sed -n 's/.*--modules-path=\([^ ]*\).*/\1/p')}
username=benw
dir=$root/run/$mode
log=$dir/error.log
trouble='\[(warn|error|crit|alert|emerg)\]'
encoder_log=$dir/encoder.log
nginx_pid='' log_pid='' encoder_pid=''

# Leaves no process behind, and no file unless something failed.
clean_up() {
    local status=$? pid
    trap - EXIT
    trap '' INT TERM
    for pid in $encoder_pid $nginx_pid; do
        kill "$pid" 2>/dev/null || true
    done
    # the log's reader ends with nginx, its writer
    [ -z "$nginx_pid" ] || wait "$nginx_pid" $log_pid 2>/dev/null || true
    if [ "$status" -eq 0 ]; then
        rm -rf "$dir"
        rmdir "$root/run" 2>/dev/null || true
    else
        [ ! -s "$encoder_log" ] || sed 's/^/ffmpeg: /' "$encoder_log" >&2
        if [ -f "$log" ]; then
            sed -nE "/$trouble/s/^[0-9]+ //p" "$log" | tail -n 5 >&2
            say "FAILED; all that nginx said is in $log" >&2
        fi
    fi
    exit "$status"
}

# free_port PREFERRED: that one (0: none in particular) or another that nobody listens on.
free_port() {
    perl -MIO::Socket::INET -e '
        for my $port (shift, 0) {
            my $socket = IO::Socket::INET->new(LocalPort => $port, Listen => 1) or next;
            print $socket->sockport;
            last;
        }' "$1"
}

# Adapts the example: everything below run/, all nginx writes by default included.
write_conf() {
    local user=''
    # workers of root stay root, so that they can reach a checkout in root's home
    [ "$(id -u)" -ne 0 ] || user='user root;'
    sed \
        -e "s|/usr/lib/nginx/modules/ngx_stagedoor_module.so|$objs/ngx_stagedoor_module.so|" \
        -e "s|/usr/lib/nginx/modules|$modules|" \
        -e "s|/var/lib/stagedoor|$dir|" \
        -e "s|^user .*|$user|" \
        -e "s|^worker_processes .*|worker_processes 2;|" \
        -e "s|listen 1935;|listen $rtmp_port;|" \
        -e "s|listen 80;|listen $http_port;|" \
        -e "s|^events {|daemon off; pid $dir/nginx.pid; error_log stderr info;\n&|" \
        -e "s|^rtmp {|&\naccess_log $dir/rtmp.log;|" \
        -e "s|^http {|&\naccess_log $dir/http.log;$(
            for kind in client_body proxy fastcgi uwsgi scgi; do printf ' %s_temp_path %s;' $kind "$dir/$kind"; done
        )|" \
        "$root/nginx-conf/smallest.conf" >"$dir/nginx.conf"
}

# The log with the time in microseconds before each line, from which the figures come.
stamped() {
    local line
    while IFS= read -r line; do
        printf '%s %s\n' "${EPOCHREALTIME/[.,]/}" "$line" >>"$log"
        # on the terminal: what went wrong, and what befell a publish
        [ "$mode" = demo ] || ! [[ $line =~ $trouble || $line == *'[notice]'*': *'* ]] || say "$line"
    done
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

start_nginx() {
    mkfifo "$dir/stderr"
    stamped <"$dir/stderr" &
    log_pid=$!
    "$nginx" -e stderr -p "$dir" -c "$dir/nginx.conf" 2>"$dir/stderr" &
    nginx_pid=$!
    within 5 "nginx does not start: $nginx -c $dir/nginx.conf" answers "$rtmp_port"
    within 5 "nginx does not answer on port $http_port" answers "$http_port"
}

# within SECONDS COMPLAINT COMMAND …: tries COMMAND until it succeeds.
within() {
    local deadline=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000)) complaint=$2
    shift 2
    until "$@"; do
        [ "${EPOCHREALTIME/[.,]/}" -lt "$deadline" ] || die "$complaint"
        sleep 0.02
    done
}

since() { awk -v from="$1" -v to="${EPOCHREALTIME/[.,]/}" 'BEGIN { printf "%.1f s", (to - from) / 1e6 }'; }

# publish KEY SECONDS: a test picture and a tone, as an encoder sends them.
publish() {
    exec ffmpeg -nostdin -hide_banner -loglevel error -re \
        -f lavfi -i testsrc=size=320x240:rate=25 -f lavfi -i sine=frequency=440:sample_rate=44100 \
        -t "$2" -c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -g 25 \
        -c:a aac -f flv "rtmp://127.0.0.1:$rtmp_port/live/$1" >"$encoder_log" 2>&1
}

# Prints the playlist's HTTP body; fails unless the status is 200.
playlist() {
    local status
    exec 3<>"/dev/tcp/127.0.0.1/$http_port" || return 1
    printf 'GET /live/%s/index.m3u8 HTTP/1.0\r\n\r\n' "$username" >&3
    read -r _ status _ <&3
    cat <&3
    exec 3<&-
    [ "$status" = 200 ]
}

playlist_is_there() { playlist 2>/dev/null | grep -q '\.ts'; }

# Stagedoor's line for the accepted publish.
accepted() { grep -m 1 -F "stagedoor: publish accepted, username: \"$username\"" "$log"; }

is_accepted() { accepted >/dev/null; }

# From the connection's first line in the log to Stagedoor's acceptance.
time_to_live() {
    local line connection
    line=$(accepted)
    connection=$(grep -oE ' \*[0-9]+ ' <<<"$line" | head -n 1)
    awk -v to="${line%% *}" -v connection="$connection" \
        'index($0, connection "client connected") { printf "%.1f ms", (to - $1) / 1e3; exit }' "$log"
}

refuse_a_wrong_key() {
    local start=${EPOCHREALTIME/[.,]/}
    if (publish "$wrong_key" 5); then
        die "a wrong key was let in"
    fi
    grep -q 'Invalid stream key' "$encoder_log" || die "a wrong key was refused for another reason"
    say "a wrong key is refused after $(since "$start"): Invalid stream key"
    rm "$encoder_log" # ffmpeg's message repeats the URL it was given
}

play() {
    local codec width height seconds frames
    IFS=, read -r codec width height < <(ffprobe -v error -select_streams v:0 \
        -show_entries stream=codec_name,width,height -of csv=p=0 "$url")
    ffmpeg -nostdin -v error -i "$url" -t 5 -f null - -progress "$dir/played.txt" ||
        die "the stream does not play"
    seconds=$(sed -n 's/^out_time_us=//p' "$dir/played.txt" | tail -n 1)
    frames=$(sed -n 's/^frame=//p' "$dir/played.txt" | tail -n 1)
    [ "$seconds" -ge 4500000 ] || die "played $seconds µs of 5 s only"
    say "played $(awk -v us="$seconds" 'BEGIN { printf "%.1f", us / 1e6 }') s, $frames frames of" \
        "${width}x$height $codec from $url"
}

find_the_key_nowhere() {
    local held lines secret
    for secret in "$key" "$wrong_key"; do
        held=$(grep -rlF -D skip "$secret" "$dir" || true)$(find "$dir" -name "*$secret*")
        [ -z "$held" ] || die "a key stands in $held"
    done
    lines=$(cat "$log" "$dir"/rtmp.log "$dir"/http.log | wc -l)
    say "neither key is in a log (searched $lines lines), a file or a file name"
}

demo() {
    local start
    refuse_a_wrong_key

    say "publishing as $username"
    start=${EPOCHREALTIME/[.,]/}
    (publish "$key" 10) &
    encoder_pid=$!
    within 5 "the publish was not accepted" is_accepted
    say "live $(time_to_live) after the encoder connected"
    within 15 "no playlist" playlist_is_there
    say "playlist after $(since "$start")"
    play
    wait "$encoder_pid" || die "the encoder failed"
    encoder_pid=''
    say "published for $(since "$start")"
    find_the_key_nowhere
}

stay() {
    local host
    host=$(hostname -I 2>/dev/null | awk '{ print $1 }')
    host=${host:-localhost}
    cat <<TEXT

OBS, Settings > Stream > Custom
    Server       rtmp://$host:$rtmp_port/live
    Stream Key   $key
ffmpeg
    ffmpeg -re -i FILE -c:v libx264 -c:a aac -f flv rtmp://$host:$rtmp_port/live/$key
Player (VLC, Safari, ffplay)
    http://$host:$http_port/live/$username/index.m3u8

Another streamer: objs/stagedoor --db ${dir#"$root"/}/stagedoor.db add USERNAME
Ctrl-C ends it. What nginx's log says of publishes:
TEXT
    trap 'exit 0' INT TERM
    wait "$nginx_pid"
}

if [ -f "$dir/nginx.pid" ] && kill -0 "$(cat "$dir/nginx.pid")" 2>/dev/null; then
    die "it is running already (pid $(cat "$dir/nginx.pid"))"
fi
rm -rf "$dir"
mkdir -p "$dir"
trap clean_up EXIT
trap 'exit 130' INT TERM

stagedoor() { "$objs/stagedoor" --db "$dir/stagedoor.db" "$@"; }
stagedoor init >/dev/null
key=$(stagedoor --json add "$username" | sed -nE 's/.*"key": *"([A-Za-z0-9]+)".*/\1/p')
[ -n "$key" ] || die "\"stagedoor add\" printed no key"
wrong_key=${key:12}${key:0:12} # as well formed as the right one

case $mode in
    demo) rtmp_port=$(free_port 0) http_port=$(free_port 0) ;;
    run) rtmp_port=$(free_port 1935) http_port=$(free_port 8080) ;;
    *) die "unknown mode \"$mode\"; expected nothing or run" ;;
esac
url=http://127.0.0.1:$http_port/live/$username/index.m3u8
write_conf
start_nginx
say "nginx with Stagedoor is up: 2 workers, rtmp on port $rtmp_port, http on port $http_port"
case $mode in demo) demo ;; run) stay ;; esac
