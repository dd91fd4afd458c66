%% Erlang cells: expressions with bindings that are kept; a cell with "-module(m)." is compiled and loaded.
-module(driver).
-export([main/0]).

main() ->
    {ok, Cells} = file:open(os:getenv("CELL_IN"), [read, raw]),
    {ok, Answers} = file:open(os:getenv("CELL_OUT"), [write, raw]),
    file:write(Answers, "ready\n"),
    loop(Cells, Answers, erl_eval:new_bindings()),
    halt().

%% Byte by byte: a longer read waits until its buffer is full.
line(Cells, Read) ->
    case file:read(Cells, 1) of
        {ok, "\n"} -> lists:reverse(Read);
        {ok, [Byte]} -> line(Cells, [Byte | Read]);
        _ -> eof
    end.

loop(Cells, Answers, Bindings) ->
    case line(Cells, []) of
        eof ->
            ok;
        Path ->
            {ok, Source} = file:read_file(Path),
            {Word, Kept} =
                try
                    {"ok\n", cell(unicode:characters_to_list(Source), Bindings)}
                catch
                    Class:Reason ->
                        io:format(standard_error, "** ~p: ~tp~n", [Class, Reason]),
                        {"error\n", Bindings}
                end,
            lists:foreach(fun settle/1, erlang:ports()),
            file:write(Answers, Word),
            loop(Cells, Answers, Kept)
    end.

%% Output goes through ports, which write when they come to it: wait until they have.
settle(Port) ->
    case erlang:port_info(Port, queue_size) of
        {queue_size, Size} when Size > 0 ->
            timer:sleep(1),
            settle(Port);
        _ ->
            ok
    end.

cell(Source, Bindings) ->
    case re:run(Source, "^-module\\((\\w+)\\)", [multiline, {capture, [1], list}]) of
        {match, [Module]} ->
            ok = file:write_file(Module ++ ".erl", unicode:characters_to_binary(Source)),
            {ok, Name} = compile:file(Module ++ ".erl", [report_errors]),
            code:purge(Name),
            {module, Name} = code:load_file(Name),
            Bindings;
        nomatch ->
            {ok, Tokens, _} = erl_scan:string(Source),
            lists:foldl(fun evaluate/2, Bindings, forms(Tokens, [], []))
    end.

evaluate(Form, Bindings) ->
    {ok, Expressions} = erl_parse:parse_exprs(Form),
    {value, _, Kept} = erl_eval:exprs(Expressions, Bindings),
    Kept.

%% Cuts tokens into forms; the last one may lack its full stop.
forms([], [], Forms) -> lists:reverse(Forms);
forms([], Open, Forms) -> lists:reverse([lists:reverse([{dot, 1} | Open]) | Forms]);
forms([{dot, _} = Dot | Rest], Open, Forms) -> forms(Rest, [], [lists:reverse([Dot | Open]) | Forms]);
forms([Token | Rest], Open, Forms) -> forms(Rest, [Token | Open], Forms).
