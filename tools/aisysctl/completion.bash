# bash completion for aisysctl(1); actors and methods come from the node that is running.

_aisysctl() {
    local word=${COMP_WORDS[COMP_CWORD]} program=${COMP_WORDS[0]} i choices='' to=()
    local words=()

    COMPREPLY=()
    # The words of the command, without options and their values.
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --to | --deadline)
            [[ ${COMP_WORDS[i + 1]} == '=' ]] && ((i++))
            ((i++))
            ;;
        -*) ;;
        *) words+=("${COMP_WORDS[i]}") ;;
        esac
    done
    if [[ ${COMP_LINE:0:COMP_POINT} =~ [[:space:]]--to[=[:space:]]([^[:space:]]+)[[:space:]] ]]; then
        to=(--to "${BASH_REMATCH[1]}")
    fi

    if [[ $word == -* ]]; then
        choices=$("$program" completion words 2>/dev/null | grep '^-')
    else
        case ${#words[@]}:${words[0]} in
        0:*) choices=$("$program" completion words 2>/dev/null | grep -v '^-') ;;
        1:call | 1:describe) choices=$("$program" "${to[@]}" completion actors 2>/dev/null) ;;
        2:call | 2:describe)
            choices=$("$program" "${to[@]}" completion methods "${words[1]}" 2>/dev/null)
            ;;
        1:config) choices='check print schema' ;;
        1:completion) choices=bash ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$word")
}

complete -o default -F _aisysctl aisysctl
