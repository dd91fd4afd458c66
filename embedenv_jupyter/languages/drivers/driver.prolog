% Prolog cells: clauses are added to the database, ":- Goal." and "?- Goal." are run and their bindings shown.
:- style_check(-singleton), style_check(-discontiguous).

serve_cells :-
    set_stream(user_output, buffer(false)),
    getenv('CELL_IN', In), getenv('CELL_OUT', Out),
    open(In, read, Cells, [bom(false)]),  % to look for a mark would wait for the first cell
    open(Out, append, Answers),
    cell_answer(Answers, ready),
    cell_loop(Cells, Answers).

cell_loop(Cells, Answers) :-
    read_line_to_string(Cells, Path),
    (   Path == end_of_file
    ->  true
    ;   nb_setval(cell_word, ok),
        catch(cell_file(Path), Problem, cell_failed(Problem)),
        nb_getval(cell_word, Word),
        cell_answer(Answers, Word),
        cell_loop(Cells, Answers)
    ).

cell_answer(Answers, Word) :-
    flush_output(user_output), flush_output(user_error),
    format(Answers, "~w~n", [Word]), flush_output(Answers).

cell_failed(Problem) :-
    print_message(error, Problem),
    nb_setval(cell_word, error).

cell_file(Path) :-
    setup_call_cleanup(open(Path, read, Stream), cell_terms(Stream), close(Stream)).

cell_terms(Stream) :-
    read_term(Stream, Term, [variable_names(Names)]),
    (   Term == end_of_file
    ->  true
    ;   catch(cell_term(Term, Names), Problem, cell_failed(Problem)),
        cell_terms(Stream)
    ).

cell_term((:- dynamic(Goal)), _) :- !, dynamic(user:Goal).
cell_term((:- Goal), Names) :- !, cell_run(Goal, Names).
cell_term((?- Goal), Names) :- !, cell_run(Goal, Names).
cell_term(Term, _) :-
    expand_term(Term, Expanded),
    (   is_list(Expanded)
    ->  maplist([Clause]>>assertz(user:Clause), Expanded)
    ;   assertz(user:Expanded)
    ).

cell_run(Goal, Names) :-
    (   call(user:Goal)
    ->  forall(member(Name = Value, Names), (Value == Name -> true ; format("~w = ~p~n", [Name, Value])))
    ;   format(user_error, "false: ~p~n", [Goal]),
        nb_setval(cell_word, error)
    ).
